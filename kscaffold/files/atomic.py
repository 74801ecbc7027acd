"""A file that appears whole: written beside its place under a hidden name, then renamed to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kscaffold.files.sweep import own_name, sweep_dead

_PREFIX = ".kscaffold-write-"
# A build's record does not look at names that end so.
_SUFFIX = ".tmp"


@contextmanager
def file_beside(target: Path) -> Iterator[Path]:
    """A new hidden path in the target's directory, to be written and renamed; removed where it was not.

    An OSError names the target, not the hidden path: a user knows only the target.
    """
    hidden = target.with_name(own_name(_PREFIX) + _SUFFIX)
    try:
        yield hidden
    except OSError as error:
        if error.filename is None or str(error.filename) == str(hidden):  # a full disk does not say where
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        with suppress(OSError):  # on a disk that can't be written there is none
            hidden.unlink(missing_ok=True)


def write_whole(file: Path, data: str | bytes, mode: int | None = None, *, sync: bool = False) -> None:
    """Put a file in its place: all of it, or what was there before. Raises OSError, nothing left.

    A text that UTF-8 can't hold (a file name of any bytes) is escaped. `mode`: else as the umask has it.
    `sync`: it is on disk before it is in its place, so that a power failure leaves no empty file.
    """
    content = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    with file_beside(file) as hidden:
        write_new(hidden, content, mode, sync=sync)
        hidden.replace(file)


def write_new(path: Path, content: bytes, mode: int | None = None, *, sync: bool = False) -> None:
    """Write a file that is not there yet. Raises FileExistsError where one is; the rest as `write_whole`."""
    # With a mode of its own, nobody reads the file before it has it.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    with os.fdopen(fd, "wb") as file:
        if mode is not None:
            os.fchmod(fd, mode)
        file.write(content)
        if sync:
            file.flush()
            os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep_beside(target: Path) -> None:
    """Remove what killed runs left of `file_beside` in the target's directory."""
    sweep_dead(target.parent, _PREFIX)
