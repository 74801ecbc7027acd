"""This process's terminal, lent to a program of the guest: every key goes there, and the window's size."""

import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator

_USUAL = struct.pack("<4H", 24, 80, 0, 0)


def window_size(fd: int) -> bytes:
    """The payload of RESIZE: rows and columns of a terminal; the usual ones where it is none."""
    if not os.isatty(fd):
        return _USUAL
    sizes = struct.unpack("4H", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return struct.pack("<4H", *sizes)


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """Every key goes to the guest's terminal, which makes of it what it means: Ctrl-C too."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
