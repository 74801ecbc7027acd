"""Locks on files by flock(2). The kernel drops a lock when the process that holds it ends, however it ends:
so a lock that nobody holds shows that its owner is done, or dead.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kscaffold.errors import DeadlineError
from kscaffold.files import paths

_POLL = 0.01  # s between two looks at a lock that another process holds
_MOST_PID = 32  # bytes of a process number in a lock file


def try_lock(fd: int, *, shared: bool = False, without: bool = False) -> bool:
    """Lock an open file now; False where another process holds it.

    `without`: the answer on a file system that has no locks; False raises its OSError.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        if not without:
            raise
    return True


def wait_for_lock(fd: int, seconds: float) -> bool:
    """Lock an open file exclusively as soon as it is free; False where it is not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not try_lock(fd):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def is_locked(path: Path) -> bool:
    """Whether a live process holds the file's lock exclusively. False where the file can't be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO is not waited for
    except OSError:
        return False
    try:
        return not try_lock(fd, shared=True, without=True)
    finally:
        os.close(fd)


def is_same_file(path: Path, fd: int, *, follow: bool = True) -> bool:
    """Whether the path still names the open file: another process may have removed or replaced it.

    `follow`: a symbolic link stands for its target.
    """
    try:
        return os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=follow))
    except OSError:
        return False


@contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Open a file that is there and hold its lock, where it is free. Gives whether this process holds it.

    Raises OSError where there is no such file, or where its file system has no locks.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield try_lock(fd) and is_same_file(path, fd)
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None, timeout: float = 3600) -> Iterator[None]:
    """Hold an exclusive lock on a file, made if need be.

    `waiting` is called once if another process has it. Raises DeadlineError after `timeout` seconds.
    """
    paths.make_own(path.parent)
    deadline = time.monotonic() + timeout
    fd = _open(path)
    try:
        # A file that was swept between open and lock is opened again.
        while not (try_lock(fd) and is_same_file(path, fd)):
            if waiting:
                waiting()
                waiting = None
            if time.monotonic() > deadline:
                raise DeadlineError("KS508", f"{path} is locked by another process", fix=f"fuser -v {path}")
            time.sleep(_POLL)
            if not is_same_file(path, fd):
                os.close(fd)
                fd = _open(path)
        yield
    finally:
        os.close(fd)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A lock file of ours, open and not locked yet; made if need be. What stands in its place and is no file
    (a FIFO, a device, a link) is removed: it would be waited for. Raises OSError for a directory.
    """
    fd = _open(path)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def locked_directory(make: Callable[[], Path]) -> Iterator[Path]:
    """The directory that `make` makes, locked until the end, so that whoever sweeps sees that its run lives.
    One that was swept in the moment before the lock is made again. What `make` raises.
    """
    while True:
        directory = make()
        try:
            fd = open_directory(directory)
        except FileNotFoundError:
            continue
        try:
            # Where the file system has no locks nobody can sweep either.
            if try_lock(fd, without=True) and is_same_file(directory, fd, follow=False):
                yield directory
                return
        finally:
            os.close(fd)


@contextmanager
def alone_in(directory: Path, seconds: float = 5.0) -> Iterator[None]:
    """Hold a directory's lock, so that no other command of ours changes a file there meanwhile. Without the
    lock where the file system has none, or where somebody keeps it for longer than so many seconds.
    """
    fd = open_directory(directory)
    try:
        with suppress(OSError):
            wait_for_lock(fd, seconds)
        yield
    finally:
        os.close(fd)


def open_directory(directory: Path) -> int:
    """A directory, open to be locked; no link to one. Raises OSError."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def write_holder(fd: int) -> None:
    """Write this process's number into a lock file that it holds, for those who have to wait."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def holder_of(fd: int) -> str:
    """The process number in an open lock file, `unknown` where there is none."""
    return os.pread(fd, _MOST_PID, 0).decode(errors="replace").strip() or "unknown"


def _open(path: Path) -> int:
    try:
        return _open_file(path)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.ENODEV):  # a link, a socket, no file
            raise
    path.unlink(missing_ok=True)
    return _open_file(path)


def _open_file(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), str(path))
