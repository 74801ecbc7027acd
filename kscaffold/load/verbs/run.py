"""Load and unload in pristine guests. Imports little: the first guest restores meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kscaffold import timing
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.prewarm import prewarm_guest
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from kscaffold.load.run import Hear, Try
    from kscaffold.make.report import BuildReport

# Called once with the kernel, while the first guest restores; who hears of each load, None for nobody.
Listen = Callable[[Kernel], "Hear | None"]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave. `tries`: the loads and unloads of each guest. `build_seconds`: what building took
    before the first one. `failed_build`: the build that did not succeed; there are no tries then.
    """

    tries: tuple["Try", ...] = ()
    build_seconds: float = 0.0
    failed_build: "BuildReport | None" = None

    @property
    def ok(self) -> bool:
        """Each try loaded all and unloaded all."""
        if self.failed_build is not None:
            return False
        return all(all(r.ok for r in loads) and all(r.ok for r in unloads) for loads, unloads in self.tries)


def run(
    request: LoadRequest,
    where: TargetRequest,
    sets: Sequence[str] = ("",),
    *,
    timeout: float,
    watch: float | None = None,
    progress: Progress = SILENT,
    listen: Listen | None = None,
) -> Run:
    """Build what is not up to date, then load and unload once for each of `sets`: parameters in the kernel's
    syntax, beside those of the request. Each try gets a guest of its own, and no guest is left.

    `timeout` of each load, and `watch`, how long to look on after the last unload (None: as the modules'
    imports suggest), in seconds. Raises UsageError for what can't be meant, KscaffoldError where there is no
    project, kernel or sandbox.
    """
    with prewarm_guest(where, progress) as begun:
        timing.reached("a guest begins to restore")
        from kscaffold.load.plan import plan_loads  # start-up time: while the guest restores
        from kscaffold.load.run import run_tries

        hear = listen(begun.kernel) if listen else None
        timing.reached("more of kscaffold is imported")
        plan = plan_loads(request, begun.kernel, progress)
        timing.reached("the modules are found, and built")
        if plan.failed:
            return Run(failed_build=plan.failed)
        tries = run_tries(
            plan,
            [plan.parameters.and_more(one) for one in sets],
            begun,
            timeout=timeout,
            watch=watch,
            progress=progress,
            hear=hear,
        )
        return Run(tuple(tries), plan.seconds)
