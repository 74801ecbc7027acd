"""A directory that appears whole or not at all, and never over anything.

The work is done in a hidden directory beside the target, so on the same file system, and moved to its
place by one renameat2(RENAME_NOREPLACE). What a killed run leaves is that hidden directory; the next
run sweeps it. A run holds a lock (flock) on its directory, which the kernel drops when it dies.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".kscaffold-new-"
# Shows that a directory of that name is ours to remove.
_MARK = "made-by-kscaffold-new"

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


@contextmanager
def hidden_beside(target: Path) -> Iterator[Path]:
    """A hidden directory of our own in the target's parent; removed on the way out, whatever happens.

    Raises OSError, which names the target, where the place can't be written to or is full.
    """
    sweep(target.parent)
    try:
        with _locked_directory(target.parent) as directory:
            try:
                (directory / _MARK).touch()
                yield directory
            finally:
                _remove(directory)
    except OSError as error:
        # What the user asked for, not a hidden file; a failed write(2) has no name at all.
        raise OSError(error.errno, error.strerror, str(target)) from error


def publish_directory(whole: Path, target: Path) -> None:
    """Move a finished directory to its place. Raises UsageError when something is there."""
    try:
        _rename_noreplace(whole, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise path_exists(target) from None
        raise


def sweep(parent: Path) -> None:
    """Remove what dead runs left here: directories of our name, owner and mark that nobody locks."""
    with suppress(OSError):
        for entry in parent.iterdir():
            if entry.name.startswith(_PREFIX):
                with suppress(OSError):
                    _sweep_one(entry)


def _sweep_one(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(fd).st_uid != os.getuid():
            return
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where its run is alive
        if not _is(directory, fd):
            return
        # A run killed between its first two steps has not marked its directory yet.
        if (directory / _MARK).is_file() or not any(directory.iterdir()):
            _remove(directory)
    finally:
        os.close(fd)


def _remove(directory: Path) -> None:
    """Remove a directory of ours, the mark last: what can't be removed now is for the next run."""
    with suppress(OSError):
        for entry in directory.iterdir():
            if entry.name != _MARK:
                shutil.rmtree(entry, ignore_errors=True)
                with suppress(OSError):
                    entry.unlink()
        if [entry.name for entry in directory.iterdir()] in ([_MARK], []):
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _locked_directory(parent: Path) -> Iterator[Path]:
    while True:
        directory = parent / f"{_PREFIX}{secrets.token_hex(6)}"
        directory.mkdir(mode=0o700)
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # swept in the moment before the lock, as below
        try:
            if _lock(fd) and _is(directory, fd):
                yield directory
                return
        finally:
            os.close(fd)


def _lock(fd: int) -> bool:
    """Whether the directory is ours now; not where a sweeping run was quicker."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: nobody can sweep there either
    return True


def _is(path: Path, fd: int) -> bool:
    """Whether the path still names the open directory."""
    try:
        here = path.lstat()
    except OSError:
        return False
    there = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _rename_noreplace(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        if not libc.renameat2(
            _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
        ):
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):  # this file system or kernel has no such rename
            raise OSError(number, os.strerror(number), str(target))
    # rename(2) of a directory refuses a file and a directory with anything in it. What is left is an
    # empty directory made since this line, which it would replace by the project.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)
