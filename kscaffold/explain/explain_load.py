"""Loads the given .ko into a guest of its own and gives each load as a walkthrough. Imports little: the
guest restores meanwhile.
"""

import time
from typing import TYPE_CHECKING

from kscaffold.load.prewarm import Prewarmed, prewarm_guest
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass

if TYPE_CHECKING:
    from kscaffold.explain.walkthrough import LoadWalkthrough
    from kscaffold.load.plan import LoadPlan
    from kscaffold.make.report import BuildReport


@dataclass(frozen=True, slots=True)
class Walkthroughs:
    """The loads of one request, each with its stages. `failed_build`: the build that did not succeed; nothing
    was loaded then.
    """

    loads: tuple["LoadWalkthrough", ...] = ()
    failed_build: "BuildReport | None" = None

    @property
    def ok(self) -> bool:
        """Whether every module that was asked for was loaded."""
        return self.failed_build is None and all(one.report.ok for one in self.loads)


def explain_load(
    request: LoadRequest, where: TargetRequest, *, timeout: float, progress: Progress = SILENT
) -> Walkthroughs:
    """Build what is not up to date and load it into a guest of its own; `timeout` of each load in seconds.

    A module that another one needs has a walkthrough where it could not be loaded. No guest is left. Raises
    UsageError for what can't be meant, KscaffoldError where there is no project, kernel or sandbox.
    """
    with prewarm_guest(where, progress) as begun:
        from kscaffold.load.plan import plan_loads  # start-up time: while the guest restores

        plan = plan_loads(request, begun.kernel, progress)
        if plan.failed:
            return Walkthroughs(failed_build=plan.failed)
        return Walkthroughs(tuple(_walk(plan, begun, timeout, progress)))


def _walk(plan: "LoadPlan", begun: Prewarmed, timeout: float, progress: Progress) -> "list[LoadWalkthrough]":
    # start-up time: while the guest restores
    from kscaffold.explain.walkthrough import load_walkthrough
    from kscaffold.load.load import load_all
    from kscaffold.load.prediction import Predictor
    from kscaffold.sandbox.vm.start import start_guest
    from kscaffold.targets.sandbox import SandboxTarget

    planned = begun.plan
    # What the kernel will refuse is in the load's own report.
    predictor = Predictor(plan.kos, planned.kernel, progress.detail, planned.trusted)
    began = time.monotonic()
    guest = start_guest(planned, progress, begun.restoring)
    try:
        target = SandboxTarget.from_guest(guest, planned.machine.cmdline)
        walked: list[LoadWalkthrough] = []
        load_all(
            plan,
            target,
            timeout=timeout,
            predictor=predictor,
            seconds={"build": plan.seconds, "start": time.monotonic() - began},
            on_report=lambda report: walked.append(load_walkthrough(report, target, planned.kernel)),
        )
        return walked
    finally:
        guest.close()
