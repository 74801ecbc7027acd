"""The removal of what killed runs left. An entry says who made it: by a lock, or by a process number."""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from kscaffold.files.lock import is_same_file, open_directory, try_lock, try_locked
from kscaffold.process import is_running

Remove = Callable[[Path], None]


def own_name(prefix: str) -> str:
    """A new name for an entry of this process that `sweep_dead` can judge: PREFIX, its number, a dash, and
    eight random digits.
    """
    return f"{prefix}{os.getpid()}-{os.urandom(4).hex()}"


def sweep_dead(directory: Path, prefix: str, remove: Remove | None = None) -> None:
    """Remove the entries of `directory` that `own_name(prefix)` named in processes that have ended.

    `remove`: how; else a directory with all in it, or a file. Never raises: the next run tries again.
    """
    with suppress(OSError):
        for entry in directory.iterdir():
            pid, dash, _ = entry.name.removeprefix(prefix).partition("-")
            if entry.name.startswith(prefix) and dash and pid.isdecimal() and not is_running(pid):
                (remove or remove_entry)(entry)


def sweep_unlocked(
    entries: Iterable[Path], lock_of: Callable[[Path], Path], remove: Remove, *, age: float = 0.0
) -> None:
    """Remove the entries whose lock nobody holds. `lock_of`: the lock file of an entry.

    An entry without a lock file goes when it is older than `age` seconds: 0 where each lock is made before
    its entry.
    """
    for entry in entries:
        try:
            with try_locked(lock_of(entry)) as ours:
                if ours:
                    remove(entry)
        except OSError:
            with suppress(OSError):
                if age and time.time() - entry.lstat().st_mtime < age:
                    continue
                remove(entry)


def sweep_own_directories(parent: Path, prefix: str, remove: Remove) -> None:
    """Remove the directories of that name and of this user's in `parent` that nobody locks: their runs
    (`locked_directory`) are dead. Never raises: the next run tries again.
    """
    with suppress(OSError):
        for entry in parent.iterdir():
            if entry.name.startswith(prefix):
                with suppress(OSError):
                    _sweep_directory(entry, remove)


def _sweep_directory(directory: Path, remove: Remove) -> None:
    fd = open_directory(directory)
    try:
        mine = os.fstat(fd).st_uid == os.geteuid()
        if mine and try_lock(fd) and is_same_file(directory, fd, follow=False):
            remove(directory)
    finally:
        os.close(fd)


def remove_entry(entry: Path) -> None:
    """Remove a directory, whatever its mode, or what stands in the place of one, as far as it can be."""
    with suppress(OSError):
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        else:
            entry.chmod(0o700)
            shutil.rmtree(entry, ignore_errors=True)
