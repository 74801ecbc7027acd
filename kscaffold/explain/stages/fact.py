"""One fact about one stage of one load, and what such facts are made from."""

from typing import Literal

from kscaffold.explain.stages.anatomy import Anatomy
from kscaffold.explain.stages.observe import Observed
from kscaffold.load.report import LoadReport
from kscaffold.records import dataclass

# Where a fact is from: the .ko; files of the kernel or the project beside it (Module.symvers, its own
# modules); the kernel's answer after the load; the trace of it; what it was asked with.
Source = Literal["file", "build", "kernel", "trace", "request"]

SOURCES: dict[Source, str] = {
    "file": "read from the .ko",
    "build": "from the files of the kernel it was held against",
    "kernel": "the kernel itself said so after this load",
    "trace": "seen while the kernel worked",
    "request": "what was asked for",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about a stage. `rows`: the details under `columns`, as text."""

    label: str
    value: str
    source: Source
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class StageContext:
    """One load with all that is known of it."""

    report: LoadReport
    anatomy: Anatomy | None
    observed: Observed

    def count(self, anchor: str) -> int | None:
        """How often the trace met an anchor; None where this kernel has no such anchor."""
        timeline = self.report.timeline
        return timeline.counts.get(anchor) if timeline else None


def plural(number: int, one: str, many: str = "") -> str:
    """`1 section`, `12 sections`, `12,345 bytes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
