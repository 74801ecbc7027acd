"""The story of one load: what happened, what each stage did for this .ko, and its JSON."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kscaffold.diagnosis.stages import COURSE
from kscaffold.elf import kofile
from kscaffold.elf.model import Function
from kscaffold.errors import KscaffoldError
from kscaffold.explain.observe import Observed, observe_module
from kscaffold.explain.stage_facts import StageFacts, facts_by_stage
from kscaffold.explain.stages.anatomy import Anatomy, dissect
from kscaffold.explain.stages.fact import Fact
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor
from kscaffold.load.report import LoadReport, load_document
from kscaffold.load.series import load_series
from kscaffold.load.unload import UnloadReport
from kscaffold.sandbox.vm import guest as session
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.restore import PendingRestore
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Target


@dataclass(frozen=True, slots=True)
class LoadWalkthrough:
    """One load, told. `anatomy`: None where the file is no module that can be read, `flaw` says why.

    `unload`: what became of it afterwards, where it was unloaded, too.
    """

    report: LoadReport
    anatomy: Anatomy | None
    observed: Observed
    steps: tuple[StageFacts, ...]
    flaw: str | None = None
    unload: UnloadReport | None = None

    @property
    def good(self) -> bool:
        """Loaded, and gone again where it was to go."""
        return self.report.ok and (self.unload is None or self.unload.ok)

    @property
    def microseconds(self) -> int:
        """In all stages that have a time."""
        return sum(s.microseconds or 0 for s in self.steps)


def load_walkthrough(report: LoadReport, target: Target, kernel: Kernel | None) -> LoadWalkthrough:
    """Tell a load that has just been made: ask the target what became of it, and take the file apart.

    `kernel`: the one that was loaded into, to tell who exports what. Never raises for what a file or a
    target does not tell.
    """
    ko, flaw = None, None
    try:
        ko = kofile.read_ko(report.path)
    except KscaffoldError as error:
        flaw = f"{error.what}: {error.cause}" if error.cause else error.what
    observed = observe_module(report, ko, target)
    anatomy = dissect(ko, kernel, report.parameters, observed) if ko else None
    return LoadWalkthrough(report, anatomy, observed, facts_by_stage(report, anatomy, observed), flaw)


def watch(
    jobs: LoadPlan,
    planned: Plan,
    *,
    ahead: PendingRestore | None,
    timeout: float,
    say: session.Say,
    detail: Callable[[str], None],
) -> list[LoadWalkthrough]:
    """Load what `jobs` names into a guest of its own, and tell each load; a module that one of them needs
    is told where it could not be loaded. `ahead`: the guest, begun already. No guest is left.
    """
    # What the kernel will refuse is told by the load itself.
    outlook = Predictor(jobs.kos, planned.kernel, detail, planned.trusted)
    began = time.monotonic()
    guest = session.start(planned, say, detail, ahead)
    try:
        cmdline = planned.machine.cmdline
        target = SandboxTarget(
            guest.channel,
            planned.kernel.release,
            guest.accelerator,
            cmdline,
            guest.console,
            guest.was_reset,
        )
        told: list[LoadWalkthrough] = []
        load_series(
            jobs,
            target,
            timeout=timeout,
            outlook=outlook,
            seconds={"build": jobs.seconds, "start": time.monotonic() - began},
            tell=lambda report: told.append(load_walkthrough(report, target, planned.kernel)),
        )
        return told
    finally:
        guest.close()


def walkthrough_document(told: LoadWalkthrough) -> dict[str, Any]:
    """The story in JSON: the load's own keys, its steps with their facts, and the .ko's."""
    return {
        **load_document(told.report),
        "steps": [_step(step) for step in told.steps],
        "ko": _ko(told.anatomy) if told.anatomy else None,
        "flaw": told.flaw,
    }


def _step(step: StageFacts) -> dict[str, Any]:
    return {
        "stage": step.stage.id,
        "title": step.stage.title,
        "course": [{"step": n, "name": COURSE[n]} for n in step.stage.course],
        "status": step.status,
        "start": step.start,
        "microseconds": step.microseconds,
        "within": step.within,
        "facts": [_fact(fact) for fact in step.facts],
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "label": fact.label,
        "value": fact.value,
        "source": fact.source,
        "columns": list(fact.columns),
        "rows": [list(row) for row in fact.rows],
    }


def _ko(a: Anatomy) -> dict[str, Any]:
    ko = a.ko
    return {
        "name": ko.name,
        "size": ko.size,
        "architecture": ko.arch,
        "signed": ko.signed,
        "license": ko.license,
        "vermagic": ko.vermagic,
        "depends": list(ko.depends),
        "init": _function(ko.init),
        "exit": _function(ko.exit),
        "parameters": [
            {"name": s.name, "type": s.type, "description": s.description, "given": s.given, "value": s.value}
            for s in a.settings
        ],
        "imports": [
            {"symbol": i.symbol, "provider": i.provider, "weak": i.weak, "gpl": i.gpl, "crc": i.crc}
            for i in a.imports
        ],
        "exports": [{"symbol": e.symbol, "gpl": e.gpl, "namespace": e.namespace} for e in ko.exports],
        "sections": [
            # As text: most readers of JSON have no 64-bit numbers.
            {
                "name": s.name,
                "size": s.size,
                "memory": s.memory,
                "address": hex(s.address) if s.address else None,
            }
            for s in a.sections
        ],
        "relocations": [
            {"section": r.section, "count": r.count, "types": dict(r.types)} for r in a.relocations
        ],
    }


def _function(function: Function | None) -> dict[str, str | None] | None:
    return None if function is None else {"symbol": function.symbol, "section": function.section}
