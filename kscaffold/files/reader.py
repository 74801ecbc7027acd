"""The one door for files that are not ours. What a user, a project or a kernel package put there is read with
a type, a size and a deadline.

A FIFO without a writer, a device that never ends, a sparse file of a terabyte: each gives one error at once.
A missing file stays an OSError, as from open(2): what that means, the caller knows.
"""

import errno
import io
import os
import shlex
import stat
import time
from pathlib import Path

from kscaffold.errors import KscaffoldError, UsageError

MOST_TEXT = 16 << 20
"""Bytes of a text that a person or a generator writes: sources, Kbuild, settings, JSON."""
MOST_IMAGE = 1 << 30
"""Bytes of a kernel's image with debug information, or of another file that a kernel package brings."""

_DEADLINE = 20.0  # s; a network file system that gives a file more slowly is as good as gone
_BITE = 8 << 20  # bytes of one read(2): between two the clock is looked at

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_ENDLESS = ("a FIFO", "a socket", "a device")


class ForeignFileError(KscaffoldError):
    """A file that can't be read as what it is looked at for: KS092 no plain file, KS093 too large, KS094 too
    slow.
    """


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """The content of a plain file of at most `most` bytes, links followed.

    Raises ForeignFileError for anything else, and OSError as open(2) and read(2) do.
    """
    # Not to wait for ever on a FIFO, nor to make a terminal ours.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _no_file(path, "a link that leads to itself") from None
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            _require_plain(path, path.stat().st_mode)
        raise
    try:
        facts = os.fstat(fd)
        _require_plain(path, facts.st_mode)
        if facts.st_size > most:
            raise _too_large(path, facts.st_size, most)
        return _read(fd, path, most)
    finally:
        os.close(fd)


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The content of a plain file as text; line ends become `\\n`, bytes that are not UTF-8 U+FFFD.

    Raises as `read_bytes`.
    """
    text = read_bytes(path, most).decode(errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def require_plain(path: Path, most: int | None = None) -> None:
    """Refuse a name that another program is about to open: something is there, and it is no plain file, or it
    has more than `most` bytes. Raises ForeignFileError; nothing for a name that is not there.
    """
    try:
        facts = path.stat()
    except OSError:
        return
    _require_plain(path, facts.st_mode)
    if most is not None and facts.st_size > most:
        raise _too_large(path, facts.st_size, most)


def replaceable(path: Path) -> Path:
    """A name for output, whose place a new file may take: there is a plain one, a link to one, or nothing.

    Raises UsageError KS092 for a device, a FIFO, a socket or a directory, or a link to one: for root the new
    file would take the place even of /dev/stdout. Raises KscaffoldError KS006 where its directory is not
    there, or may not be written to.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        _require_open(path.parent, path)
        return path
    around = f"{os.path.realpath(path.parent)}/"
    if stat.S_ISREG(mode) and around.startswith(("/dev/", "/proc/")) and not around.startswith("/dev/shm/"):
        mode = stat.S_IFCHR  # /dev/stdout, where that is a file
    if not stat.S_ISREG(mode):
        raise UsageError(
            "KS092",
            f"{path} is not a plain file",
            cause=f"it is {_kind(mode)}, and what is written would take its place",
            fix="name another file",
        )
    return path


def _require_open(directory: Path, path: Path) -> None:
    if not directory.is_dir():
        fix = f"mkdir -p {shlex.quote(str(directory))}"
        raise KscaffoldError("KS006", f"{path} can't be written", cause=f"there is no {directory}", fix=fix)
    if not os.access(directory, os.W_OK | os.X_OK):
        cause = f"{directory} may not be written to"
        raise KscaffoldError(
            "KS006", f"{path} can't be written", cause=cause, fix="name a file in a directory of yours"
        )


def _require_plain(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise _no_file(path, _kind(mode))


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


def _no_file(path: Path, kind: str) -> ForeignFileError:
    return ForeignFileError(
        "KS092",
        f"{path} is not a plain file",
        cause=f"it is {kind}" + (": reading it may never end" if kind in _ENDLESS else ""),
        fix=f"ls -lL '{path}'; remove it, or put the file there that is meant",
    )


def _read(fd: int, path: Path, most: int) -> bytes:
    deadline = time.monotonic() + _DEADLINE
    whole = io.BytesIO()  # pieces that are joined would take twice the memory
    size = 0
    while part := os.read(fd, min(_BITE, most + 1 - size)):
        whole.write(part)
        size += len(part)
        if size > most:  # it grows while it is read, or its file system tells no size
            raise _too_large(path, size, most)
        if time.monotonic() > deadline:
            raise ForeignFileError(
                "KS094",
                f"{path} was not read within {_DEADLINE:g} s",
                cause=f"its file system gave {size >> 20} MiB in that time",
                fix="copy it to a disk of this machine",
            )
    return whole.getvalue()


def _too_large(path: Path, size: int, most: int) -> ForeignFileError:
    return ForeignFileError(
        "KS093",
        f"{path} is too large to be read",
        cause=f"it has {_amount(size)}, more than the {_amount(most)} of the largest that is known",
        fix=f"ls -ls '{path}'; remove it, or put the file there that is meant",
    )


def _amount(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size} bytes"
