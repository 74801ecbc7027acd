"""Private directories for half-made things, and locks. What a killed run leaves is swept by the next."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kscaffold.errors import DeadlineError
from kscaffold.files import paths

Say = Callable[[str, str], None]


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new directory on the cache's file system, removed at the end; and the sweep of abandoned ones.

    A directory is in use for as long as its lock file is locked: the kernel drops the lock of a killed
    process. Lock files, not the directories, are locked, because NFS can't lock a directory.
    """
    base = paths.cache() / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    _sweep(base)
    name = f"{os.getpid()}-{os.urandom(4).hex()}"
    with locked_directory(base / f"{name}.lock"):
        try:
            (base / name).mkdir()
            yield base / name
        finally:
            shutil.rmtree(base / name, ignore_errors=True)
            (base / f"{name}.lock").unlink(missing_ok=True)


@contextmanager
def locked_directory(
    path: Path, *, waiting: Callable[[], None] | None = None, timeout: float = 3600
) -> Iterator[None]:
    """Hold an exclusive lock on a file, made if need be.

    `waiting` is called once if another process has it. Raises DeadlineError after `timeout` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    fd = _open(path)
    try:
        while not _lock(fd, path):
            if waiting:
                waiting()
                waiting = None
            if time.monotonic() > deadline:
                raise DeadlineError("KS508", f"{path} is locked by another process", fix=f"fuser -v {path}")
            time.sleep(0.1)
            if not _same(fd, path):  # swept between open and lock
                os.close(fd)
                fd = _open(path)
        yield
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _same(fd, path)


def _same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _sweep(base: Path) -> None:
    """Remove what nobody holds: every directory has its lock file before it is made, and as long as it is."""
    for directory in base.iterdir():
        if directory.suffix != ".lock" and not directory.with_name(f"{directory.name}.lock").exists():
            shutil.rmtree(directory, ignore_errors=True)
    for lock in base.glob("*.lock"):
        fd = None
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            if _lock(fd, lock):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
        finally:
            if fd is not None:
                os.close(fd)
