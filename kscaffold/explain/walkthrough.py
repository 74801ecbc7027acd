"""The story of one load: what happened, what each stage did for this .ko, and its JSON."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from kscaffold.errors import KscaffoldError
from kscaffold.explain.stage_facts import StageFacts, facts_by_stage
from kscaffold.explain.stages.anatomy import Anatomy, dissect
from kscaffold.explain.stages.observe import Observed, observe_module
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.load import load_all
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport
from kscaffold.sandbox.vm.boot import Say
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.restore import PendingRestore
from kscaffold.sandbox.vm.start import start_guest
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
        ko = report.file.kofile()
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
    say: Say,
    detail: Callable[[str], None],
) -> list[LoadWalkthrough]:
    """Load what `jobs` names into a guest of its own, and tell each load; a module that one of them needs
    is told where it could not be loaded. `ahead`: the guest, begun already. No guest is left.
    """
    # What the kernel will refuse is told by the load itself.
    outlook = Predictor(jobs.kos, planned.kernel, detail, planned.trusted)
    began = time.monotonic()
    guest = start_guest(planned, say, detail, ahead)
    try:
        target = SandboxTarget.from_guest(guest, planned.machine.cmdline)
        told: list[LoadWalkthrough] = []
        load_all(
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
