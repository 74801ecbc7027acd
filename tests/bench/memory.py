"""What live sandboxes hold in memory, what they share, and what a snapshot takes on disk."""

from dataclasses import dataclass
from pathlib import Path

from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import snapshot
from tests.bench.timing import BenchError
from tests.bench.world import World


@dataclass(frozen=True, slots=True)
class Amount:
    """`bytes` of something; `bar`: the issue's limit."""

    name: str
    bytes: int
    bar: int | None = None


def measure(world: World) -> list[Amount]:
    """Two sandboxes side by side, each with a module loaded. Both are stopped again."""
    try:
        for project in (world.hello, world.sets):
            world.kscaffold("load", at=project)
        cards = registry.all_sandboxes()
        if len(cards) != 2:
            raise BenchError(f"two sandboxes were to be live, {len(cards)} are")
        rolled = [memory_map(Path(f"/proc/{card.qemu}/smaps_rollup")) for card in cards]
        daemons = [memory_map(Path(f"/proc/{card.daemon}/smaps_rollup")) for card in cards]
        guests = [memory_map(Path(f"/proc/{card.qemu}/smaps"), "/ram") for card in cards]
    finally:
        for card in registry.all_sandboxes():
            registry.stop_sandbox(card.project)
    resident = [qemu["Rss"] + daemon["Rss"] for qemu, daemon in zip(rolled, daemons, strict=True)]
    sizes = [size for _, _, size, *_ in snapshot.all_snapshots()]
    return [
        Amount("a live sandbox, resident", max(resident), 350_000_000),
        Amount("  of it QEMU", max(f["Rss"] for f in rolled)),
        Amount("  of it the daemon", max(f["Rss"] for f in daemons)),
        Amount(
            "its share when two run (PSS)",
            max(a["Pss"] + b["Pss"] for a, b in zip(rolled, daemons, strict=True)),
        ),
        Amount("guest memory touched, of each", max(f["Rss"] for f in guests)),
        Amount("  shared through the snapshot", min(f["Shared_Clean"] + f["Shared_Dirty"] for f in guests)),
        Amount("  its own (copied on write)", max(f["Private_Dirty"] for f in guests)),
        Amount("shared by both in all", min(f["Shared_Clean"] + f["Shared_Dirty"] for f in rolled)),
        Amount("the snapshot on disk", max(sizes), 120_000_000),
    ]


def memory_map(smaps: Path, mapping: str = "") -> dict[str, int]:
    """The sums of a process's memory map, in bytes: of all, or of mappings of files whose name ends so."""
    sums = dict.fromkeys(("Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty"), 0)
    counts = False
    for line in smaps.read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            counts = line.endswith(mapping)
        elif counts and first[:-1] in sums:
            sums[first[:-1]] += int(rest[0]) * 1024
    return sums
