"""The end of a log, however long the log is: its newest lines are what happened last."""

import os
import re
import stat
import time

MOST = 4 << 20
"""Bytes of a log that are looked at: its last ones."""
MOST_LINES = 30_000
"""Lines of a log that are looked at: its last ones. Where each is another one that takes 0.2 ms a line."""

_LONGEST_LINE = 4000  # characters; the kernel's longest line has a quarter of it
_BLANKS = re.compile(r"[ \t]{200,}")  # no log has so many in a row; what looks for the end of blanks is slow
_CHUNK = 1 << 20
_PATIENCE = 60.0  # s for a program that writes without an end


def read_end(fd: int) -> tuple[str, str | None]:
    """The last lines of an open file or pipe as text, and how much was left out before them, as a phrase.

    A file is read from its end; of a pipe everything is read, and the end kept. Bytes that are not UTF-8
    become U+FFFD.
    """
    data, size = _file_end(fd) if _is_file(fd) else _pipe_end(fd)
    cut = size > len(data)
    if cut:
        data = data[data.find(b"\n") + 1 :] or data
    lines = data.decode(errors="replace").split("\n")
    dropped = max(0, len(lines) - MOST_LINES)
    lines = [_BLANKS.sub(" ", line)[:_LONGEST_LINE] for line in lines[dropped:]]
    if cut:
        kept = sum(len(line) + 1 for line in lines)
        said = f"the log has {size / 1e6:.0f} MB: only its last {kept / 1e6:.1f} MB were looked at"
    else:
        said = f"the log has {dropped + len(lines)} lines: only its last {len(lines)} were looked at"
    return "\n".join(lines), said if cut or dropped else None


def _is_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _file_end(fd: int) -> tuple[bytes, int]:
    begin, size = os.lseek(fd, 0, os.SEEK_CUR), os.fstat(fd).st_size
    os.lseek(fd, max(begin, size - MOST), os.SEEK_SET)
    parts = []
    left = MOST
    while left and (part := os.read(fd, min(_CHUNK, left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts), size - begin


def _pipe_end(fd: int) -> tuple[bytes, int]:
    kept = bytearray()
    size = 0
    deadline = time.monotonic() + _PATIENCE
    while (part := os.read(fd, _CHUNK)) and time.monotonic() < deadline:
        kept += part
        size += len(part)
        if len(kept) > 2 * MOST:
            del kept[:-MOST]
    del kept[:-MOST]
    return bytes(kept), size
