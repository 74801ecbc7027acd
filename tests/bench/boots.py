"""Cold boots beside busy loops: none may be lost."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from kscaffold.errors import KscaffoldError
from kscaffold.progress import Progress
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout, Verb
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.start import start_guest
from tests.bench.timing import BenchError
from tests.bench.world import World

# It ends when its parent has, whatever ended that.
_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(100000): pass\n"


@dataclass(frozen=True, slots=True)
class Boots:
    """`lost`: why, one for each boot without an answer. `retries`: boots begun again. Seconds."""

    count: int
    busy: int
    lost: tuple[str, ...]
    retries: int
    booted: tuple[float, ...]
    frozen: tuple[float, ...]
    in_all: tuple[float, ...]


def boots(world: World, count: int, busy: int, say: Callable[[str], None]) -> Boots:
    """Boot a kernel `count` times, without a snapshot, while `busy` processes never rest."""
    planned = world.planned()
    lost: list[str] = []
    details: list[str] = []
    reached: list[dict[str, float]] = []
    taken: list[float] = []
    with busy_loops(busy):
        for number in range(1, count + 1):
            snapshot.remove_snapshots(world.kernel.release)
            began = time.monotonic()
            try:
                reached.append(_boot(planned, details.append))
                taken.append(time.monotonic() - began)
            except (KscaffoldError, ChannelClosed, ChannelTimeout) as error:
                why = getattr(error, "cause", None)
                lost.append(f"boot {number}: {error}" + (f" ({why})" if why else ""))
            say(f"boot {number} of {count}: {f'{taken[-1]:.1f} s' if taken else ''}, {len(lost)} lost")
    return Boots(
        count,
        busy,
        tuple(lost),
        sum("trying again" in detail for detail in details),
        tuple(times["booted"] / 1000 for times in reached),
        tuple(times["frozen"] / 1000 for times in reached),
        tuple(taken),
    )


def _boot(planned: Plan, detail: Callable[[str], None]) -> dict[str, float]:
    guest = start_guest(planned, Progress(detail=detail))
    try:
        if guest.restored:
            raise BenchError("a guest was restored where one was to be booted")
        if not guest.channel.ask(Verb.LIST, timeout=10).payload:
            raise ChannelClosed("the guest lists no module, not even its own drivers")
        return guest.times
    finally:
        guest.close()


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that take all the processor time they get."""
    loops: list[subprocess.Popen[bytes]] = []
    try:
        loops.extend(subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(count))
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait(10)


def lines(report: Boots) -> list[str]:
    """The report for people."""
    told = [
        f"{report.count} cold boots beside {report.busy} busy loops: {len(report.lost)} lost, "
        f"{report.retries} begun again"
    ]
    for name, times in (
        ("agent answered", report.booted),
        ("snapshot kept", report.frozen),
        ("in all", report.in_all),
    ):
        if times:
            told.append(
                f"  {name:<16} min {min(times):6.2f}  median {median(times):6.2f}  max {max(times):6.2f} s"
            )
    return told + [f"  {why}" for why in report.lost]
