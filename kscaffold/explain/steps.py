"""What each stage of a load did for one .ko, as facts with where each is from: data, for any page.

A stage that was not reached did nothing, and one that nobody saw has nothing to tell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kscaffold.diagnosis.stages import BY_ID, Stage
from kscaffold.diagnosis.trace import Status, holder
from kscaffold.explain import early, late
from kscaffold.explain.anatomy import Anatomy
from kscaffold.explain.fact import Fact, Scene
from kscaffold.explain.observe import Observed
from kscaffold.load.report import LoadReport

_TELL: dict[str, Callable[[Scene], Iterator[Fact]]] = {
    "syscall": early.syscall,
    "permission": early.permission,
    "copy": early.copy,
    "signature": early.signature,
    "elf": early.elf,
    "version": early.version,
    "layout": early.layout,
    "list": early.listed,
    "symbols": late.symbols,
    "relocate": late.relocate,
    "arguments": late.arguments,
    "formation": late.formation,
    "parameters": late.parameters,
    "sysfs": late.sysfs,
    "init": late.init,
    "live": late.live,
}


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of one load. `start`, `microseconds`: when it began after the load did, and how long it took;
    None where this kernel has no anchor for it. `within`: the stage whose time holds this one's then.
    `facts`: what it did for this .ko.
    """

    stage: Stage
    status: Status
    start: int | None
    microseconds: int | None
    within: str | None
    facts: tuple[Fact, ...]


def tell(report: LoadReport, anatomy: Anatomy | None, observed: Observed) -> tuple[Step, ...]:
    """The stages of a load in the kernel's order. `anatomy` None: the file is no module we can read."""
    scene = Scene(report, anatomy, observed)
    found: list[Step] = []
    spent = 0
    for stage in report.judgement.stages:
        facts: tuple[Fact, ...] = ()
        if stage.status in ("passed", "failed"):
            facts = tuple(_TELL[stage.id](scene))
        start = spent if stage.microseconds is not None else None
        spent += stage.microseconds or 0
        within = holder(stage, report.judgement.stages)
        found.append(Step(BY_ID[stage.id], stage.status, start, stage.microseconds, within, facts))
    return tuple(found)
