"""Load into a pristine sandbox, in the old one's place; on the host: unload, then load."""

from collections.abc import Callable

from kscaffold import timeouts
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.live_crash import tell_news
from kscaffold.load.open_target import OpenTarget, choose_kernel, open_target
from kscaffold.load.plan import LoadPlan, plan_loads
from kscaffold.load.prediction import Predictor
from kscaffold.load.prewarm import for_live_sandbox
from kscaffold.load.report import LoadReport
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.load.unload import UnloadReport, unload
from kscaffold.load.verbs.load import Loads, instrumented_plan, load_copies, load_plan
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass
from kscaffold.sandbox.live import registry
from kscaffold.targets.target import Target

# Gets each load, the target while that can still be asked, and the kernel (None: not looked for).
LoadListener = Callable[[LoadReport, Target, Kernel | None], None]
UnloadListener = Callable[[UnloadReport], None]


@dataclass(frozen=True, slots=True)
class Reload:
    """The loads. `stuck`: the unload on the host that failed; nothing was loaded then."""

    loads: Loads
    stuck: UnloadReport | None = None

    @property
    def ok(self) -> bool:
        """Whether every module that was asked for is loaded again."""
        return self.stuck is None and self.loads.ok


def reload(
    request: LoadRequest,
    where: TargetRequest,
    *,
    timeout: float,
    progress: Progress = SILENT,
    on_load: LoadListener = lambda report, target, kernel: None,
    on_unload: UnloadListener = lambda report: None,
) -> Reload:
    """Build, end the old sandbox, load into a new one; `timeout` of each load in seconds, in the kernel.

    A build that fails leaves the old sandbox as it was. Raises what `load` raises.
    """
    # No kernel is looked for to insmod a .ko here.
    where = for_live_sandbox(request, where.for_modules(request.kos), again=True)
    kernel = None if where.host and request.kos else choose_kernel(where, progress)
    plan = plan_loads(request, kernel, progress)
    if plan.failed:
        return Reload(Loads(failed_build=plan.failed))
    copies = instrumented_plan(plan, request, kernel, progress)
    plan = copies.plan if copies else plan
    trusted: tuple[bytes, ...] = ()
    if kernel is not None and not where.host:
        trusted = trusted_certificates(kernel, where, progress)
        if registry.has_copies(plan.home):
            tell_news(plan.home, progress)
        registry.stop_sandbox(plan.home)
    predictor = Predictor(plan.kos, kernel, progress.warn, trusted) if kernel else None
    with open_target(plan.home, kernel, where, trusted, progress, pristine=True) as opened:
        stuck = _unload_all(plan, opened, on_unload) if where.host else None
        if stuck is not None:
            return Reload(Loads(), stuck)

        def listen(report: LoadReport, target: Target) -> None:
            on_load(report, target, kernel)

        if copies:
            return Reload(load_copies(copies, opened, predictor, timeout, listen))
        return Reload(load_plan(plan, opened, predictor, timeout, listen))


def _unload_all(plan: LoadPlan, opened: OpenTarget, on_unload: UnloadListener) -> UnloadReport | None:
    """Unload the plan's modules, those that need others first; the report of the one that stays."""
    there = {m.name for m in opened.target.modules()}
    for name in [ko.module for ko in reversed(plan.kos) if ko.module in there]:
        gone = unload(name, opened.target, timeout=timeouts.seconds("UNLOAD_TIMEOUT"))
        on_unload(gone)
        if not gone.ok:
            return gone
    return None
