"""Load what was asked for into the live sandbox, or the host. Imports little: the sandbox starts first."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kscaffold import timing
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.prewarm import for_live_sandbox, prewarm_sandbox
from kscaffold.load.request import SLOWER, LoadRequest, TargetRequest
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass

if TYPE_CHECKING:
    from kscaffold.instrument.copies import InstrumentedPlan
    from kscaffold.instrument.findings import Findings
    from kscaffold.load.open_target import OpenTarget
    from kscaffold.load.plan import LoadPlan
    from kscaffold.load.prediction import Predictor
    from kscaffold.load.report import LoadReport
    from kscaffold.make.report import BuildReport
    from kscaffold.targets.target import Target

# Gets each load, and the target while that can still be asked.
LoadListener = Callable[["LoadReport", "Target"], None]
# Called once with the kernel (None: not looked for), while the sandbox starts; who hears of each load.
Listen = Callable[[Kernel | None], LoadListener]


@dataclass(frozen=True, slots=True)
class Loads:
    """The loads of one request, in order; the last one may have failed, and none came after it.

    `failed_build`: the build that did not succeed; nothing was loaded then. `sanitizer`: what was found
    meanwhile; None where the modules are no instrumented copies.
    """

    reports: tuple["LoadReport", ...] = ()
    failed_build: "BuildReport | None" = None
    sanitizer: "Findings | None" = None

    @property
    def ok(self) -> bool:
        """Whether every module that was asked for is loaded."""
        return self.failed_build is None and all(report.ok for report in self.reports)


def load(
    request: LoadRequest,
    where: TargetRequest,
    *,
    timeout: float,
    progress: Progress = SILENT,
    listen: Listen | None = None,
) -> Loads:
    """Build what is not up to date, start the sandbox where none runs, and load; `timeout` of each load in
    seconds, in the kernel.

    Raises UsageError for what can't be meant, KscaffoldError where there is no project, kernel or sandbox.
    """
    kernel: Kernel | None = None
    trusted: tuple[bytes, ...] = ()
    where = for_live_sandbox(request, where.for_modules(request.kos))
    if not where.host:
        kernel, trusted = prewarm_sandbox(request, where, progress)
        timing.reached("the sandbox begins to start")
    from kscaffold.load.open_target import choose_kernel, open_target  # start-up time: the sandbox starts now
    from kscaffold.load.plan import plan_loads
    from kscaffold.load.prediction import Predictor

    if where.host and not request.kos:  # no kernel is looked for to insmod a .ko here
        kernel = choose_kernel(where, progress)
    on_load = listen(kernel) if listen else ignore
    plan = plan_loads(request, kernel, progress)
    if plan.failed:
        return Loads(failed_build=plan.failed)
    timing.reached("the modules are found, and built")
    copies = instrumented_plan(plan, request, kernel, progress)
    plan = copies.plan if copies else plan
    predictor = Predictor(plan.kos, kernel, progress.warn, trusted) if kernel else None
    timing.reached("a prediction is made")
    with open_target(plan.home, kernel, where, trusted, progress) as opened:
        timing.reached("the sandbox answers")
        if copies:
            return load_copies(copies, opened, predictor, timeout, on_load)
        return load_plan(plan, opened, predictor, timeout, on_load)


def instrumented_plan(
    plan: "LoadPlan", request: LoadRequest, kernel: Kernel | None, progress: Progress
) -> "InstrumentedPlan | None":
    """The copies that a request wants in the place of what a plan loads; None for none."""
    if not request.instruments or kernel is None:
        return None
    from kscaffold.instrument.copies import instrumented  # start-up time: few loads have an instrument

    return instrumented(plan, kernel, request.instruments, progress)


def load_copies(
    copies: "InstrumentedPlan",
    opened: "OpenTarget",
    predictor: "Predictor | None",
    timeout: float,
    on_load: LoadListener,
) -> Loads:
    """As load_plan, of instrumented copies. Reports are as of the user's own modules."""
    from kscaffold.instrument import live_load  # start-up time: few loads have an instrument
    from kscaffold.load.leftovers import LiveLeftovers

    live_load.load_missing_helpers(copies, opened.target, LiveLeftovers(opened.target), timeout)
    done = load_plan(
        copies.plan,
        opened,
        predictor,
        timeout * SLOWER,
        lambda report, target: on_load(live_load.as_user(report, copies), target),
    )
    reports, found = live_load.take_load(copies.plan.home, done.reports, copies)
    return Loads(tuple(reports), sanitizer=found)


def load_plan(
    plan: "LoadPlan",
    opened: "OpenTarget",
    predictor: "Predictor | None",
    timeout: float,
    on_load: LoadListener,
) -> Loads:
    """Load a plan into a target that is open."""
    from kscaffold.load.leftovers import LiveLeftovers  # start-up time: the sandbox starts now
    from kscaffold.load.load import load_all

    reports = load_all(
        plan,
        opened.target,
        timeout=timeout,
        predictor=predictor,
        seconds={"build": plan.seconds, "start": opened.seconds},
        on_report=lambda report: on_load(report, opened.target),
        leftovers=LiveLeftovers(opened.target),
    )
    if opened.kind == "sandbox" and any(r.judgement.complaints or not r.ok for r in reports):
        from kscaffold.load.live_crash import mark_told  # start-up time: few loads crash

        gone = any(r.judgement.verdict in ("crashed", "lost") for r in reports)
        mark_told(plan.home, [r for report in reports for r in report.log], is_gone=gone)
    from kscaffold.sandbox.live import registry  # start-up time: imported by now

    if opened.kind == "sandbox" and registry.has_copies(plan.home):
        from kscaffold.load.live_copies import forget_copies  # start-up time: few loads have an instrument

        forget_copies(plan.home, (r.module for r in reports if r.ok))
    return Loads(tuple(reports))


def ignore(report: "LoadReport", target: "Target") -> None:
    """The listener of a load that nobody listens to."""
