"""A clock that stands while a guest can't run: its QEMU, its daemon or this process is stopped."""

import select
import time
from collections.abc import Callable

_SLICE = 1.0  # s between two looks
_LOOK = 0.1  # s between two looks at who is stopped after the deadline
_LATE = 1.0  # s that a busy machine may wake us late
_MOST = 60.0  # s that it stands in one wait; then somebody means it


class RunningClock:
    """`is_stopped`: whether a process that answers for the guest is stopped now."""

    def __init__(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._is_stopped = is_stopped
        self._stood = 0.0

    def now(self) -> float:
        """Seconds, as time.monotonic(), without those in which the clock stood."""
        return time.monotonic() - self._stood

    def is_stopped(self) -> bool:
        """Whether the guest can't run now."""
        return self._is_stopped()

    def wait(self, poll: select.poll, deadline: float) -> list[tuple[int, int]]:
        """What poll(2) gives until a deadline of this clock; [] at the deadline, after one more look."""
        stood, stopped = self._stood, False
        while True:
            part = min(max(deadline - self.now(), _LOOK if stopped else 0.0), _SLICE)
            began = time.monotonic()
            ready = poll.poll(part * 1000)
            passed = time.monotonic() - began
            stopped = not ready and self._is_stopped()
            if stopped:
                self._stood += passed
            elif passed > part + _LATE:  # this process did not run
                self._stood += passed - part
            if ready or self._stood - stood > _MOST:
                return ready
            if not stopped and self.now() >= deadline:
                return []
