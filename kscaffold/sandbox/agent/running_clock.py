"""A clock that stands while a guest can't run: its QEMU, its daemon or this process is stopped, or QEMU is
ready to run and others have the processors.

What a guest computes takes so many seconds of a processor, whatever the machine does besides: on a busy one a
busy loop of 3 s takes 30. (A guest that sleeps waits for no processor, and its clock goes on.)
"""

import select
import time
from collections.abc import Callable

from kscaffold import process

_SLICE = 0.1  # s between two looks
_LONGEST_LOOK = 0.2  # s that one look at a guest counts for
_LATE = 1.0  # s that a busy machine may wake us late
MOST_STOPPED = 60.0
"""Seconds that the clock stands for one request because somebody is stopped; then somebody means it."""
MOST_WAITING = 120.0
"""Seconds that the clock stands for one request because others have the processors."""


class LookingClock:
    """A clock for who looks at a guest again and again. A look counts for 0.2 s at most: a guest that lives
    answers sooner. Where this machine slept, or its processors were taken, the guest slept as well.

    `now`: the seconds of another clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._looked, self._seconds = now, now(), 0.0

    def look(self) -> float:
        """The seconds so far, after a look."""
        before, self._looked = self._looked, self._now()
        self._seconds += min(self._looked - before, _LONGEST_LOOK)
        return self._seconds


class RunningClock:
    """`stopped`: the process that answers for the guest and is stopped now, 0 for none. `cpu_wait`: seconds
    that the guest was ready to run so far and had no processor of this machine.
    """

    def __init__(
        self, stopped: Callable[[], int] = lambda: 0, cpu_wait: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._stopped = stopped
        self._cpu_wait = cpu_wait
        self._stood = 0.0
        self.begin()

    @classmethod
    def of(cls, qemu: int, *others: int) -> "RunningClock":
        """The clock of a QEMU's guest; `others`: the processes between it and this one."""
        processes = (qemu, *others)
        return cls(
            lambda: next(filter(process.is_stopped, processes), 0), lambda: process.cpu_wait_seconds(qemu)
        )

    def begin(self) -> None:
        """Another request begins: the clock may stand anew."""
        self._looked: tuple[float, float] | None = None
        self._asked = time.monotonic()
        self._is_stopped = 0.0
        self._waited = 0.0

    def now(self) -> float:
        """Seconds, as time.monotonic(), without those in which the clock stood. Who was stopped between two
        questions has not waited for anybody: a deadline of before is as far away as it was.
        """
        before, self._asked = self._asked, time.monotonic()
        if self._asked - before > _LATE:
            self._stood += self._asked - before
        return self._asked - self._stood

    def stopped(self) -> int:
        """The process that is stopped now, so that the guest can't run; 0 for none."""
        return self._stopped()

    def look(self) -> bool:
        """Leave out what the guest waited for a processor since the last look; whether it did."""
        at, waited = time.monotonic(), self._cpu_wait()
        before, self._looked = self._looked, (at, waited)
        if before is None:
            return False
        # Another thread of QEMU may have become the busiest one.
        lost = min(max(waited - before[1], 0.0), at - before[0], MOST_WAITING - self._waited)
        self._waited += lost
        self._stood += lost
        return lost > 0

    def wait(self, poll: select.poll, deadline: float) -> list[tuple[int, int]]:
        """What poll(2) gives until a deadline of this clock; [] at the deadline, or when it has stood for too
        long.
        """
        stands = False
        if deadline - self.now() < _SLICE and self._looked is None:
            self.look()
        while True:
            part = min(max(deadline - self.now(), _SLICE if stands else 0.0), _SLICE)
            began = time.monotonic()
            ready = poll.poll(part * 1000)
            self._asked = time.monotonic()
            passed = self._asked - began
            if ready:
                return ready
            stands = self._look_after(part, passed)
            if self._is_stopped > MOST_STOPPED or self.now() >= deadline:
                return poll.poll(0)  # who woke us late may have woken the guest in time

    def _look_after(self, part: float, passed: float) -> bool:
        """Whether the clock stood in a slice that was to take `part` seconds and took `passed`."""
        if self._stopped():
            self._is_stopped += passed
            self._stood += passed
            self._looked = None
            return True
        if passed > part + _LATE:  # this process did not run
            self._stood += passed - part
            self._looked = None
            return True
        return self.look()
