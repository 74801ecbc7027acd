"""Where the milliseconds of a command go: what was reached when, printed by -v at the end.

Marks are set on the way of every run and load, so they cost a microsecond each.
"""

import threading
import time

_marks: list[tuple[str, float]] = []
_OF_EVERY_COMMAND = 3  # its start, its command line, its end


def reached(what: str) -> None:
    """Mark the end of the work called `what`. Only the main thread of a command counts."""
    if threading.current_thread() is threading.main_thread():
        _marks.append((what, time.monotonic()))


def begin() -> None:
    """A command begins: only Python's own start, and what it imports for every command, was before."""
    _marks.clear()
    reached("Python starts")


def timeline() -> list[str]:
    """A line a step: its own milliseconds, those since the process began, and what it was.

    None for a command that marks no step of its own.
    """
    if len(_marks) <= _OF_EVERY_COMMAND:
        return []
    # No clock tells a process when it began; until its first mark it has done nothing but compute.
    before = began = _marks[0][1] - _started
    lines = []
    for what, when in _marks:
        lines.append(f"{(when - before) * 1000:6.0f} {(when - began) * 1000:6.0f} ms  {what}")
        before = when
    return lines


_started = time.process_time()
