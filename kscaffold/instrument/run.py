"""A run whose modules are instrumented copies, and what the instruments found."""

import contextlib
import threading
from collections.abc import Sequence

from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.klog import Record
from kscaffold.elf import quick
from kscaffold.errors import KscaffoldError
from kscaffold.instrument.copies import InstrumentedPlan, instrumented
from kscaffold.instrument.coverage import (
    LIST,
    Counters,
    Coverage,
    add_counters,
    coverage_of_copies,
    read_counters,
)
from kscaffold.instrument.fault_rows import CALLS, FAIL, Call, Faults, Seen, chosen, judge, read_calls
from kscaffold.instrument.findings import (
    Findings,
    as_users,
    copies_by_module,
    findings_of,
    take_findings,
)
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.dangling import seconds_to_watch
from kscaffold.load.finding import place_in
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prewarm import Prewarmed
from kscaffold.load.request import SLOWER, Instruments
from kscaffold.load.tries import RunOptions, Try, helpers_loaded, run_tries
from kscaffold.progress import Progress
from kscaffold.records import dataclass, replace
from kscaffold.targets.sandbox import SandboxTarget


@dataclass(frozen=True, slots=True)
class InstrumentedRun:
    """The tries, as of the user's own modules, and what each instrument that was asked for found."""

    tries: tuple[Try, ...]
    sanitizer: Findings | None = None
    faults: Faults | None = None
    coverage: Coverage | None = None


class _Counts:
    """The counters of all tries, taken from several threads."""

    def __init__(self, wanted: bool) -> None:
        self.counters: Counters = {}
        self._wanted = wanted
        self._lock = threading.Lock()

    def take(self, target: SandboxTarget) -> None:
        """Take those of a guest; a kernel that crashed has none."""
        if self._wanted:
            with contextlib.suppress(OSError, KscaffoldError):
                counted = read_counters(target.read(LIST))
                with self._lock:
                    add_counters(self.counters, counted)


@dataclass(frozen=True, slots=True)
class _World:
    """What all tries of a run share."""

    begun: Prewarmed
    options: RunOptions
    counts: _Counts
    progress: Progress


def run_instrumented(
    asked: Instruments, plans: Sequence[LoadPlan], begun: Prewarmed, options: RunOptions, progress: Progress
) -> InstrumentedRun:
    """Load and unload instrumented copies of what the plans name; the plans differ in parameters only.

    Raises KscaffoldError as `instrumented`, and as `run_tries`.
    """
    copies = instrumented(plans[0], begun.kernel, asked, progress)
    tries = [replace(copies.plan, parameters=plan.parameters) for plan in plans]
    options = replace(options, timeout=options.timeout * SLOWER, originals=plans[0].kos)
    lists: dict[int, str] = {}
    logs: dict[int, list[Record]] = {}
    counts = _Counts(asked.coverage)

    def take(number: int, done: Try, target: SandboxTarget) -> None:
        counts.take(target)
        if asked.sanitize or asked.faults:
            logs[number] = _log_of(target)
        with contextlib.suppress(OSError, KscaffoldError):  # a kernel that crashed has none
            lists[number] = target.read(CALLS).decode(errors="replace") if asked.faults else ""

    done = run_tries(tries, begun, replace(options, last=take), progress)
    faults = None
    if asked.faults:
        faults = _fail_each(copies, tries, done, lists, logs, _World(begun, options, counts, progress))
    users, found = take_findings(done, copies, logs)
    return InstrumentedRun(
        tuple(users),
        found if asked.sanitize else None,
        faults,
        coverage_of_copies(counts.counters, copies, begun.kernel) if asked.coverage else None,
    )


def _fail_each(
    copies: InstrumentedPlan,
    plans: Sequence[LoadPlan],
    done: Sequence[Try],
    lists: dict[int, str],
    logs: dict[int, list[Record]],
    world: "_World",
) -> Faults:
    """Make each call that the lists name fail, in a kernel of its own. `done`: the tries in which all calls
    went through; `lists`, `logs`: what their kernels said, by their numbers.
    """
    well = [n for n, (loads, _) in enumerate(done) if all(r.ok for r in loads)]
    if not well:
        return Faults((), problem="init does not come to a good end by itself: no call was made to fail")
    kos = copies_by_module(copies)
    points: list[tuple[int, Call]] = []
    left_out = 0
    for number in well:
        calls, count = read_calls(lists.get(number, ""))
        tried = chosen(calls)
        points += [(number, call) for call in tried]
        left_out += count - len(tried)
    if not points:
        return Faults((), left_out)
    plural = "s" if len(points) != 1 else ""
    world.progress.step("Failing", f"{len(points)} call{plural} of init, one at a time")
    failing = [replace(plans[n], orders={FAIL: str(call.number)}) for n, call in points]
    late: dict[int, Attempt] = {}
    logs_then: dict[int, list[Record]] = {}
    watch = max(seconds_to_watch(quick.imports(ko))[0] for ko in copies.originals.values())

    def look_on(number: int, one: Try, target: SandboxTarget) -> None:
        world.counts.take(target)
        if watch and one[0][-1].judgement.verdict == "init-failed":
            seen = target.watch(watch)
            if seen.errno != 0:
                late[number] = seen
        logs_then[number] = _log_of(target)

    options = replace(world.options, on_load=None, last=look_on)
    with helpers_loaded(failing[0], replace(world.begun, restoring=None), options, world.progress) as begun:
        results = run_tries(failing, begun, options, world.progress)
    usual = {n: Seen(as_users(done[n], copies), tuple(findings_of(done[n], kos, logs[n]))) for n in well}
    places: dict[str, SourceLine | None] = {}
    rows = []
    for number, ((of, call), one) in enumerate(zip(points, results, strict=True)):
        if call.site not in places:
            places[call.site] = place_in(call.site, call.module, kos)
        found = tuple(findings_of(one, kos, logs_then.get(number, ())))
        seen = Seen(as_users(one, copies), found, late.get(number))
        rows.append(judge(call, seen, usual[of], places[call.site]))
    return Faults(tuple(rows), left_out)


def _log_of(target: SandboxTarget) -> list[Record]:
    """All that a guest's kernel said; nothing where it crashed."""
    with contextlib.suppress(OSError, KscaffoldError):
        return target.log()
    return []
