"""What each stage of a load did for one .ko, as facts, each with its source: data, for any page.

There are no facts of a stage that was not reached, nor of one that nobody saw.
"""

from collections.abc import Callable, Iterator

from kscaffold.diagnosis.stages import BY_ID, Stage
from kscaffold.diagnosis.trace import Status, enclosing_stage
from kscaffold.explain.stages import before_symbols, from_symbols
from kscaffold.explain.stages.anatomy import Anatomy
from kscaffold.explain.stages.fact import Fact, StageContext
from kscaffold.explain.stages.observe import Observed
from kscaffold.load.report import LoadReport
from kscaffold.records import dataclass

_TELL: dict[str, Callable[[StageContext], Iterator[Fact]]] = {
    "syscall": before_symbols.syscall,
    "permission": before_symbols.permission,
    "copy": before_symbols.copy,
    "signature": before_symbols.signature,
    "elf": before_symbols.elf,
    "version": before_symbols.version,
    "layout": before_symbols.layout,
    "list": before_symbols.listed,
    "symbols": from_symbols.symbols,
    "relocate": from_symbols.relocate,
    "arguments": from_symbols.arguments,
    "formation": from_symbols.formation,
    "parameters": from_symbols.parameters,
    "sysfs": from_symbols.sysfs,
    "init": from_symbols.init,
    "live": from_symbols.live,
}


@dataclass(frozen=True, slots=True)
class StageFacts:
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


def facts_by_stage(report: LoadReport, anatomy: Anatomy | None, observed: Observed) -> tuple[StageFacts, ...]:
    """The stages of a load in the kernel's order. `anatomy` None: the file is no module we can read."""
    context = StageContext(report, anatomy, observed)
    found: list[StageFacts] = []
    spent = 0
    for stage in report.judgement.stages:
        facts: tuple[Fact, ...] = ()
        if stage.status in ("passed", "failed"):
            facts = tuple(_TELL[stage.id](context))
        start = spent if stage.microseconds is not None else None
        spent += stage.microseconds or 0
        within = enclosing_stage(stage, report.judgement.stages)
        found.append(StageFacts(BY_ID[stage.id], stage.status, start, stage.microseconds, within, facts))
    return tuple(found)
