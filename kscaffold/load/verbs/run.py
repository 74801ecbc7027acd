"""Load and unload in pristine guests. Imports little: the first guest restores meanwhile."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kscaffold import timing
from kscaffold.errors import UsageError
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.prewarm import prewarm_guest
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass, replace

if TYPE_CHECKING:
    from kscaffold.instrument.coverage import Coverage
    from kscaffold.instrument.fault_rows import Faults
    from kscaffold.instrument.findings import Findings
    from kscaffold.load.flaws import Flaw
    from kscaffold.load.tries import Try, TryListener
    from kscaffold.make.report import BuildReport

# Called once with the kernel, while the first guest restores; who hears of each load, None for nobody.
Listen = Callable[[Kernel], "TryListener | None"]


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run. `tries`: the loads and unloads of each guest. `build_seconds`: how long building
    took before the first one. `failed_build`: the build that did not succeed; there are no tries then.
    `allow`: the codes of complaints that are accepted. `sanitizer`, `faults`, `coverage`: what each of
    these found, None where it was not asked for.
    """

    tries: tuple["Try", ...] = ()
    build_seconds: float = 0.0
    failed_build: "BuildReport | None" = None
    allow: frozenset[str] = frozenset()
    sanitizer: "Findings | None" = None
    faults: "Faults | None" = None
    coverage: "Coverage | None" = None

    @property
    def ok(self) -> bool:
        """Whether each try loaded and unloaded all modules, and is clean; each failing call was handled."""
        well = self.failed_build is None and all(map(self.went_well, self.tries))
        return well and not (self.faults and self.faults.not_clean(self.allow))

    def went_well(self, one: "Try") -> bool:
        """Whether a try loaded all and unloaded all, and is clean but for what is accepted."""
        well = all(r.ok for reports in one for r in reports) and not self.flaws(one)
        return well and not self.has_bugs(one)

    def has_bugs(self, one: "Try") -> bool:
        """Whether the sanitizer found something in a try, but for what is accepted."""
        codes = self.sanitizer.codes.items() if self.sanitizer else ()
        return any(self.tries[number] is one and found - self.allow for number, found in codes)

    def flaws(self, one: "Try") -> tuple["Flaw", ...]:
        """The flaws that make a try unclean, but the accepted ones; the kernel's complaints come first."""
        from kscaffold.load.flaws import RESIDUE, not_allowed  # start-up time: while the guest restores

        found = [f for reports in one for r in reports for f in r.flaws]
        return not_allowed(sorted(found, key=lambda f: f.code in RESIDUE), self.allow)


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
    """Build what is not up to date, then load and unload `request.repeat` times for each of `sets`:
    parameters in the kernel's syntax, beside those of the request. Each try gets a guest of its own, and no
    guest is left.
    Where that is more than 1, and all went well, the same is done many times in one guest for each set:
    the last try of the set tells what memory was never freed, however little.

    `timeout` of each load, and `watch`, how long to look on after the last unload (None: as the modules'
    imports suggest), in seconds. Raises UsageError for what can't be meant, KscaffoldError where there is no
    project, kernel or sandbox.
    """
    where = where.for_modules(request.kos)
    with prewarm_guest(where, progress) as begun:
        timing.reached("a guest begins to restore")
        from kscaffold.load.plan import plan_loads  # start-up time: while the guest restores
        from kscaffold.load.tries import RunOptions, run_tries

        accepted = _accepted(request)
        on_load = listen(begun.kernel) if listen else None
        timing.reached("more of kscaffold is imported")
        plan = plan_loads(request, begun.kernel, progress)
        timing.reached("the modules are found, and built")
        if plan.failed:
            return Run(failed_build=plan.failed)
        given = [replace(plan, parameters=plan.parameters.and_more(one)) for one in sets]
        tries = [one for one in given for _ in range(request.repeat)]
        options = RunOptions(timeout, watch, on_load)
        if not request.instruments:
            done = run_tries(tries, begun, options, progress)
            if request.repeat > 1:
                from kscaffold.load.growth import with_growth  # start-up time: few runs are repeated

                for last in range(request.repeat - 1, len(tries), request.repeat):
                    done[last] = with_growth(done[last], tries[last], begun.plan, request.repeat, progress)
            return Run(tuple(done), plan.seconds, allow=accepted)
        from kscaffold.instrument.run import run_instrumented  # start-up time: few runs have an instrument

        seen = run_instrumented(request.instruments, tries, begun, options, progress)
        return Run(seen.tries, plan.seconds, None, accepted, seen.sanitizer, seen.faults, seen.coverage)


def _accepted(request: LoadRequest) -> frozenset[str]:
    """The codes to accept. Raises UsageError KS091 for what is no code, KS090 for a damaged file."""
    from kscaffold.diagnosis import catalogue  # start-up time: while the guest restores
    from kscaffold.project.find import home
    from kscaffold.project.settings import read_settings

    written = (*request.allow, *read_settings(home(request.directory)).allow)
    for code in sorted(written):
        if catalogue.entry(code) is None:
            raise UsageError("KS091", f"{code} is no code of kscaffold's", fix=_near_code(code))
    return frozenset(code.upper() for code in written)


def _near_code(written: str) -> str:
    """What to write instead of what is no code: the nearest of those that a run can complain of."""
    import difflib  # start-up time: only after a typing error

    from kscaffold.load.flaws import codes  # start-up time: while the guest restores

    meant = f"KS{''.join(c for c in written if c.isdigit())}"
    begun = [code for code in codes() if meant != "KS" and code.startswith(meant)]
    near = begun or difflib.get_close_matches(meant, codes(), n=3, cutoff=0.8)
    return f"--allow {' or '.join(near[:3])}" if near else "kscaffold run without it shows the code to accept"
