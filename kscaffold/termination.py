"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it started is ended first. make and pytest are in
process groups of their own, which neither a terminal that is closed nor a `timeout` reaches.
"""

import os
import signal

_HEEDED = (signal.SIGTERM, signal.SIGHUP)

# The first of the signals that came, and the process that heeds them.
_received: int | None = None
_process = 0


def heed() -> None:
    """From now on the first such signal raises KeyboardInterrupt in the main thread, and others are passed
    over: the work of ending has begun. One that is ignored, as nohup(1) does, stays so.
    """
    global _process
    _process = os.getpid()
    for number in _HEEDED:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _note)


class Held:
    """Keeps these signals waiting, here and in the processes forked meanwhile, until each calls `as_usual()`:
    one that reaches a fork while CPython sets it up is forgotten there (_clear_pending_signals in
    Modules/signalmodule.c, 3.11), and whoever sent it waits for the fork's end without end.

    Without contextlib, whose import costs every command a millisecond.
    """

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def as_usual() -> None:
    """In a fork made under `Held()`: the signals end it at once, those that came meanwhile too; Ctrl-C is
    the command's to answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _HEEDED:
        if signal.getsignal(number) == _note:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEEDED)


def end_as_told() -> None:
    """End this process by the signal that it got, so that whoever started it is told so; nothing where none
    came.
    """
    if _received is not None:
        _die(_received)


def _note(number: int, _: object) -> None:
    global _received
    if os.getpid() != _process:
        _die(number)  # a fork has nothing of ours to end
    if _received is None:
        _received = number
        raise KeyboardInterrupt


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
