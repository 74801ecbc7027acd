"""Memory that modules never free, however little: loaded and unloaded many times in one guest."""

from kscaffold.diagnosis.residue.growth import growth
from kscaffold.diagnosis.residue.kinds import Residue
from kscaffold.diagnosis.residue.sections import SECTIONS
from kscaffold.diagnosis.residue.source import made_by
from kscaffold.errors import KscaffoldError
from kscaffold.load.assignment import assign
from kscaffold.load.leftovers import sections_to_watch
from kscaffold.load.plan import LoadPlan
from kscaffold.load.source_files import sources_of
from kscaffold.load.tries import Try
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from kscaffold.progress import Progress
from kscaffold.records import replace
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget

_WARM = 3  # rounds until the kernel has what it keeps for the next load
_LEAST, _MOST = 32, 512  # rounds
_MEMORY = sum(1 << SECTIONS.index(s) for s in ("/proc/meminfo", "/proc/zoneinfo", "/proc/slabinfo"))


def with_growth(one: Try, jobs: LoadPlan, planned: Plan, rounds: int, progress: Progress) -> Try:
    """A try that went well, and what the same loads leave of the kernel's memory where they are repeated in a
    guest of their own: at least 32 times, at most 512.
    """
    loads, unloads = one
    may_grow = sections_to_watch(jobs.kos) >> SECTIONS.index("/proc/meminfo") & 1
    if not may_grow or jobs.first or any(r.flaws for reports in one for r in reports):
        return one
    rounds = min(max(rounds, _LEAST), _MOST)
    progress.detail(f"loaded and unloaded {rounds} times more in one guest, to see whether its memory grows")
    left = _repeat(jobs, jobs.parameters, planned, rounds, progress)
    found = tuple(made_by(each, sources_of(jobs.kos)) for each in left)
    return ([*loads[:-1], replace(loads[-1], residue=(*(loads[-1].residue or ()), *found))], unloads)


def _repeat(
    jobs: LoadPlan, parameters: Parameters, planned: Plan, rounds: int, progress: Progress
) -> list[Residue]:
    guest = start_guest(planned, progress, None)
    try:
        target = SandboxTarget.from_guest(guest, planned.machine.cmdline)
        for needed in {n.module: n for needs in jobs.needs.values() for n in needs}.values():
            target.load(needed, NO_PARAMETERS, 10)
        if not all(_round(jobs, parameters, target) for _ in range(_WARM)):
            return []
        target.photograph(_MEMORY, first=True)
        seen = []
        for _ in range(2):
            if not all(_round(jobs, parameters, target) for _ in range(rounds // 2)):
                return []
            seen.append(target.photograph(_MEMORY))
        return growth(seen[0], seen[1], rounds)
    except KscaffoldError:
        return []
    finally:
        guest.close()


def _round(jobs: LoadPlan, parameters: Parameters, target: SandboxTarget) -> bool:
    """Load all and unload all once; whether that went well."""
    given = assign(parameters, jobs.kos)
    loaded = all(target.load(ko, given[ko.module], 10).errno == 0 for ko in jobs.kos)
    return loaded and all(target.unload(ko.module, 10).errno == 0 for ko in reversed(jobs.kos))
