"""Load and unload in a pristine kernel: one guest for each try, several beside one another."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kscaffold import timeouts, timing
from kscaffold.arch import table
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.blame import blame_late_crash, blame_other_calls
from kscaffold.load.dangling import may_start
from kscaffold.load.leftovers import Leftovers, sections_to_watch, with_residue, without_guesses
from kscaffold.load.load import load_all
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor
from kscaffold.load.prewarm import Prewarmed
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport, of_loaded, unload
from kscaffold.load.unload_watch import watch_after_unload
from kscaffold.progress import SILENT, Progress, Work
from kscaffold.records import dataclass, replace
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.restore import PendingRestore
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Target

if TYPE_CHECKING:
    from kscaffold.targets.timers import Timer

Try = tuple[list[LoadReport], list[UnloadReport]]
# The number of the try, the load, and the guest it was made in, while that can still be asked.
TryListener = Callable[[int, LoadReport, Target], None]
# The number of the try, what it gave, and its guest, which ends when this returns.
Last = Callable[[int, Try, SandboxTarget], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How each try is made. `timeout` of each load, and `watch`, how long to look on after the last unload,
    in seconds; None for what the modules' imports suggest. `on_load` gets each load, and `last` each try
    before its guest ends, from the thread that made it. `originals`: the modules whose imports say what may
    be left behind, where instrumented copies of them are loaded: a copy's imports are the instruments'.
    """

    timeout: float
    watch: float | None = None
    on_load: TryListener | None = None
    last: Last | None = None
    originals: tuple[ModuleFile, ...] = ()


def run_tries(
    tries: Sequence[LoadPlan], begun: Prewarmed, options: RunOptions, progress: Progress = SILENT
) -> list[Try]:
    """Load what each plan names and unload it in reverse. The plans differ in parameters only.

    Each try gets a guest of its own, and as many run at once as this process may use processors. The
    results come in the order of `tries`. `begun`: the guest planned, the first one begun. Whatever happens,
    no guest is left.
    """
    results: list[Try | BaseException | None] = [None] * len(tries)
    waiting = list(range(len(tries)))[::-1]
    guests: list[Guest] = []
    lock = threading.Lock()
    planned = begun.plan
    predictor = Predictor(tries[0].kos, planned.kernel, progress.warn, planned.trusted)
    sections = sections_to_watch(options.originals or tries[0].kos)
    around = _Around(guests, progress, options, predictor, sections)
    timing.reached("a prediction is made")

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                index = waiting.pop()
            try:
                results[index] = _once(index, tries[index], planned, around)
            except BaseException as error:
                results[index] = error
                with lock:
                    waiting.clear()

    try:
        if planned.frozen is None:
            # The first one alone: it makes the snapshot the others start from where there is none yet.
            first = waiting.pop()
            results[first] = _once(first, tries[first], planned, around, begun.restoring)
        if waiting:
            with progress.work(_work(len(waiting), results)):
                _side_by_side(work, _at_once(len(waiting)))
    finally:
        for guest in list(guests):
            with contextlib.suppress(Exception):
                guest.close()
    done: list[Try] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        if result is not None:
            done.append(result)
    return done


def _at_once(tries: int) -> int:
    return min(tries, len(os.sched_getaffinity(0)))


def _work(waiting: int, results: Sequence[object]) -> Work:
    what = "one more try" if waiting == 1 else f"{waiting} more tries, {_at_once(waiting)} at once"
    return Work("Running", what, lambda: len(results) - results.count(None), len(results), "tries")


def _side_by_side(work: Callable[[], None], count: int) -> None:
    # A guest lives within its thread's life: the signal that ends it with us follows the thread.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # so that Ctrl-C is heard


@dataclass(frozen=True, slots=True)
class _Around:
    """What every try of a run shares. `stands`: the guest stands still between two requests."""

    guests: list[Guest]
    progress: Progress
    options: RunOptions
    predictor: Predictor
    sections: int
    stands: bool = False


def _once(
    number: int,
    plan: LoadPlan,
    planned: Plan,
    around: _Around,
    pending: PendingRestore | None = None,
) -> Try:
    try:
        return _try(number, plan, planned, around, pending)
    except _ExitCameLate:
        # On a busy machine a guest's second has little of a processor's: what init armed for later ran before
        # exit could forget it, and nothing would be told of that.
        around.progress.note(
            "this machine is busy: once more, in a guest that stands still between two calls"
        )
        again = replace(around, options=replace(around.options, on_load=None), stands=True)
        return _try(number, plan, planned, again)


class _ExitCameLate(Exception):
    """A timer that init armed was over before exit was."""


def _try(
    number: int,
    plan: LoadPlan,
    planned: Plan,
    around: _Around,
    pending: PendingRestore | None = None,
) -> Try:
    began, options = time.monotonic(), around.options
    guest = start_guest(planned, around.progress, pending)
    around.guests.append(guest)
    timing.reached("the guest answers")
    try:
        started = time.monotonic() - began
        target = SandboxTarget.from_guest(guest, planned.machine.cmdline, as_user=plan.as_user)
        leftovers = Leftovers(plan.kos, around.sections, target)
        if plan.first:
            there = planned.frozen is not None and guest.restored
            _begin_with_helpers(plan, target, leftovers, options.timeout, there=there)
        armed = _Armed(target, looks=not around.stands)

        def heard(report: LoadReport) -> None:
            armed.after(report)
            if options.on_load:
                options.on_load(number, report, target)

        with guest.standing_between() if around.stands else contextlib.nullcontext():
            loads = load_all(
                plan,
                target,
                timeout=options.timeout,
                # It tells what root's load would meet.
                predictor=None if plan.as_user else around.predictor,
                seconds={"start": started},
                on_report=heard,
                leftovers=leftovers,
            )
            unloads = _unload_all(loads, target, options.timeout, armed)
        if _has_survived(loads):
            unloads = watch_after_unload(unloads, target, options.watch, around.progress)
        loads = blame_late_crash(loads, unloads, target)
        loads, unloads = blame_other_calls(loads, unloads)
        timing.reached("the guest is asked whether it is well")
        if options.last:
            options.last(number, (loads, unloads), target)
        left = leftovers.find(loads, unloads)
        loads, unloads = with_residue(loads, left), without_guesses(unloads, left)
        timing.reached("what is left behind is looked for")
        total = time.monotonic() - began
        loads = [replace(r, seconds={**r.seconds, "total": total}) for r in loads]
        if around.progress.verbose:
            _tell_times(guest, total, around.progress.detail)
        return loads, unloads
    finally:
        guest.close()
        around.guests.remove(guest)
        timing.reached("the guest has ended")


class _Armed:
    """What the kernel's timers were after each init that starts something; nothing where nobody `looks`."""

    def __init__(self, target: SandboxTarget, *, looks: bool) -> None:
        self._target, self._looks = target, looks
        self._seen: dict[str, tuple[float, list[Timer]]] = {}

    def after(self, report: LoadReport) -> None:
        """Look at them after a load."""
        if self._looks and report.ok and may_start(report.file):
            self._seen[report.module] = time.monotonic(), self._target.timers() or []

    def require_time(self, report: UnloadReport) -> None:
        """Raise _ExitCameLate where what was seen can't tell what exit forgets."""
        if report.module in self._seen and report.ok and report.dangling:
            since, timers = self._seen[report.module]
            # An exit that takes its time is no busy machine.
            if report.dangling.ran_before_exit(timers, time.monotonic() - since - report.seconds):
                raise _ExitCameLate


def _has_survived(loads: Sequence[LoadReport]) -> bool:
    """Whether the kernel is there after the last load."""
    return loads[-1].judgement.verdict not in ("crashed", "hung", "lost")


def _unload_all(
    loads: Sequence[LoadReport], target: Target, timeout: float, armed: _Armed
) -> list[UnloadReport]:
    """Unload in reverse what was loaded, as far as its kernel lives. Raises _ExitCameLate."""
    unloads: list[UnloadReport] = []
    if not _has_survived(loads):
        return unloads
    # Exit may do as much as init did, and instrumented code is as slow in both.
    wait = max(timeouts.seconds("UNLOAD_TIMEOUT"), timeout)
    for report in reversed([r for r in loads if r.ok]):
        unloads.append(of_loaded(unload(report.module, target, timeout=wait, ko=report.file)))
        if not unloads[-1].ok:
            break
        armed.require_time(unloads[-1])
    timing.reached("unloaded")
    _unload_requested(loads, target, wait)
    return unloads


def _unload_requested(loads: Sequence[LoadReport], target: Target, timeout: float) -> None:
    """Unload what modprobe was asked for and loaded: what is left then, the project's modules left."""
    mine = {r.module for r in loads}
    for request in (r for report in reversed(loads) for r in reversed(report.requests)):
        for module in reversed(request.modules or ()):
            if module not in mine:
                target.unload(module, timeout)  # one that is in use stays, as it would with modprobe -r


@contextlib.contextmanager
def helpers_loaded(
    plan: LoadPlan, begun: Prewarmed, options: RunOptions, progress: Progress
) -> Iterator[Prewarmed]:
    """Load the helpers of `plan` once for many tries, and take the photographs: the guests of what is yielded
    start there, but for those that can't. Raises KscaffoldError as `load_helpers`.
    """
    from kscaffold.sandbox.vm.checkpoint import checkpoint  # start-up time: only --faults has many such tries

    sections = sections_to_watch(options.originals or plan.kos)

    def prepare(guest: Guest) -> None:
        cmdline = begun.plan.machine.cmdline
        target = SandboxTarget.from_guest(guest, cmdline, as_user=plan.as_user)
        leftovers = Leftovers(plan.kos, sections, target)
        _begin_with_helpers(replace(plan, orders={}), target, leftovers, options.timeout, there=False)

    with checkpoint(begun.plan, prepare, progress.detail) as planned:
        yield replace(begun, plan=planned)


def _begin_with_helpers(
    plan: LoadPlan, target: SandboxTarget, leftovers: Leftovers, timeout: float, *, there: bool
) -> None:
    """Load the helpers, unless they are `there`, and tell them their orders."""
    if not there:
        load_helpers(plan, target, timeout)
    leftovers.after_helpers(photographed=there)
    for file, order in plan.orders.items():
        target.write(file, order.encode(), 0)


def load_helpers(plan: LoadPlan, target: Target, timeout: float) -> None:
    """Load what an instrument needs. Raises KscaffoldError KS731 where the kernel does not take it."""
    for ko, parameters in plan.first:
        attempt = target.load(ko, parameters, timeout)
        if attempt.errno != 0:
            name = table.kernel_name(target.release, target.arch)
            said = [r.text for r in attempt.records or () if ko.module in r.text]
            raise KscaffoldError(
                "KS731",
                f"{name} does not take kscaffold's helper module {ko.name}",
                cause=said[-1] if said else f"errno {attempt.errno}",
                fix=f"kscaffold kernel remove {target.release} && kscaffold kernel add {target.release}",
            )
        timing.reached(f"{ko.module} is loaded")


def _tell_times(guest: Guest, total: float, detail: Callable[[str], None]) -> None:
    reached = ", ".join(f"{what} {ms:.0f} ms" for what, ms in guest.times.items())
    detail(f"guest: {reached}, loaded and unloaded {total * 1000:.0f} ms")
    resident, shared = guest.memory()
    detail(f"memory: {resident / 1e6:.0f} MB resident, {shared / 1e6:.0f} MB of it shared with other guests")
