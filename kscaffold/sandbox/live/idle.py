"""How long an idle guest stays: its configured time where it is alone and memory is plenty, else less."""

import contextlib
from pathlib import Path

from kscaffold.records import dataclass

LOOK = 15.0
"""Seconds between two looks at the machine's memory."""
_LEAST = 60.0  # s that a guest stays idle, however many there are
_PLENTY = 0.25  # of the machine's memory that may be had
_STALLED = 10.0  # % of the last minute in which somebody waited for memory


@dataclass(frozen=True, slots=True)
class Memory:
    """The machine's memory. `available`: the part of it that may be had, 0 to 1. `stalled`: the percentage of
    the last minute in which some task waited for memory (pressure stall information), 0 where not known.
    """

    available: float
    stalled: float


def idle_time(configured: float, guests: int, memory: Memory) -> float:
    """The seconds that a guest stays idle: `configured` of one guest. All `guests` of the user share them, so
    that many take no more memory for longer than one does. Pure.
    """
    share = configured / max(1, guests)
    if memory.available < _PLENTY:
        share *= memory.available / _PLENTY
    if memory.stalled >= _STALLED:
        share = 0.0
    return max(min(_LEAST, configured), share)


def memory_now(proc: Path = Path("/proc")) -> Memory:
    """The memory of this machine. A kernel that does not tell has plenty."""
    available, stalled = 1.0, 0.0
    with contextlib.suppress(OSError, ValueError, KeyError, ZeroDivisionError):
        lines = (proc / "meminfo").read_text().splitlines()
        kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        available = kb["MemAvailable"] / kb["MemTotal"]
    with contextlib.suppress(OSError, ValueError, IndexError):  # no such file before 4.20, or without PSI
        some = (proc / "pressure/memory").read_text().splitlines()[0]
        stalled = float(some.partition("avg60=")[2].split()[0])
    return Memory(available, stalled)


def guests_beside(directory: Path) -> int:
    """The live sandboxes of this user, by their cards, the one in `directory` included."""
    with contextlib.suppress(OSError):
        return sum((place / "card.json").exists() for place in directory.parent.iterdir())
    return 1
