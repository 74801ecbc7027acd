"""The story of one load: what happened, what each stage did for this .ko, and its JSON."""

import contextlib

from kscaffold.errors import KscaffoldError
from kscaffold.explain.stage_facts import StageFacts, facts_by_stage
from kscaffold.explain.stages.anatomy import Anatomy, dissect
from kscaffold.explain.stages.observe import Observed, observe_module
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.load import load
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport
from kscaffold.records import dataclass
from kscaffold.targets.target import Target

_AS_USER_TIMEOUT = 5.0  # s for a load that the kernel refuses before it reads the file


@dataclass(frozen=True, slots=True)
class LoadWalkthrough:
    """One load with what each stage did. `anatomy`: None where the file is no module that can be read,
    `flaw` says why.

    `unload`: the report of the unload, None where the module stayed. `ordinary_user`: what an ordinary user's
    load of the same .ko into the same guest met, where init returned what such a user is refused with.
    """

    report: LoadReport
    anatomy: Anatomy | None
    observed: Observed
    steps: tuple[StageFacts, ...]
    flaw: str | None = None
    unload: UnloadReport | None = None
    ordinary_user: LoadReport | None = None

    @property
    def good(self) -> bool:
        """Loaded, and gone again where it was to go."""
        return self.report.ok and (self.unload is None or self.unload.ok)

    @property
    def microseconds(self) -> int:
        """The time of all stages that have one."""
        return sum(s.microseconds or 0 for s in self.steps)


def load_walkthrough(report: LoadReport, target: Target, kernel: Kernel | None) -> LoadWalkthrough:
    """The walkthrough of a load that has just been made: asks the target about the module, and reads the .ko.

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
    steps = facts_by_stage(report, anatomy, observed)
    return LoadWalkthrough(report, anatomy, observed, steps, flaw, ordinary_user=_as_user(report, target))


def _as_user(report: LoadReport, target: Target) -> LoadReport | None:
    """The real EPERM beside an init that returned -1: the kernel is asked, as a user who may not load."""
    if (report.judgement.verdict, report.judgement.errno) != ("init-failed", "EPERM"):
        return None
    user = target.as_ordinary_user()
    if user is None or report.as_user:
        return None
    with contextlib.suppress(KscaffoldError):  # a remark that can't be made ends nothing
        return load(report.file, report.parameters, user, timeout=_AS_USER_TIMEOUT)
    return None
