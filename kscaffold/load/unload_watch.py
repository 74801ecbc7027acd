"""Wait for a crash after the last unload: what a module left running may kill its kernel some time later."""

from collections.abc import Sequence
from itertools import dropwhile

from kscaffold.diagnosis import power
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, judge_unload
from kscaffold.elf import quick
from kscaffold.load.unload import UnloadReport, after_exit, with_lines
from kscaffold.progress import SILENT, Progress
from kscaffold.records import replace
from kscaffold.targets.target import Target

# s that a timer is waited for: those of 10 s end here, those of 15 s do not, however long exit took.
_MOST = 12.0
_AFTER = 0.5  # s from the time a timer is due to the end of the crash that it makes


def watch_after_unload(
    reports: Sequence[UnloadReport],
    target: Target,
    seconds: float | None = None,
    progress: Progress = SILENT,
) -> list[UnloadReport]:
    """Watch the kernel for `seconds`, or for as long as the imports of the unloaded modules suggest, and
    until the timers that they left are due, where that is soon.

    Returns the same reports. Where the kernel did not stay well, the report of the module that left
    something running is `crashed`: certain where the kernel missed that module's code or variables, or where
    no other module can have left anything.
    """
    wait = _seconds(reports, progress) if seconds is None else seconds
    if not wait or not all(r.ok for r in reports):
        return list(reports)
    seen = target.watch(wait)
    if seen is None or seen.errno == 0:
        return list(reports)
    index, is_certain = _guilty(reports, seen)
    blamed = list(reports)
    blamed[index] = _crashed(reports[index], seen, is_certain=is_certain)
    return blamed


def _seconds(reports: Sequence[UnloadReport], progress: Progress) -> float:
    """For how long to watch."""
    suspected = max((r.dangling.seconds for r in reports if r.dangling), default=0.0)
    due = max((s for r in reports for s in r.due if s <= _MOST), default=0.0)
    if due > suspected:
        progress.note(f"what exit left is due in {due:.0f} s: waiting for it (--watch 0 does not)")
    elif suspected > _AFTER + 1.0:
        said = "this kernel does not tell its timers: looking on for"
        progress.note(f"{said} {suspected:.0f} s (--watch 0 does not)")
    return max(suspected, due + _AFTER if due else 0.0)


def _guilty(reports: Sequence[UnloadReport], seen: Attempt) -> tuple[int, bool]:
    """Which module left the code running that crashed, and whether that is certain."""
    if ended := power.last_words(seen.log):
        # Its last line names the call: one that imports that is likelier.
        call = ended["call"].removesuffix("()")
        callers = [i for i, r in enumerate(reports) if r.dangling and call in quick.imports(r.dangling.ko)]
        if callers:
            return callers[-1], len(callers) == 1
    missed = [i for i, r in enumerate(reports) if r.dangling and r.dangling.freed_address(seen.log)]
    if missed:
        return missed[-1], True
    # Nothing names a module: one that may have left something is likelier, and the last one likeliest.
    suspects = [i for i, r in enumerate(reports) if r.dangling] or list(range(len(reports)))
    return suspects[-1], len(suspects) == 1


def _crashed(report: UnloadReport, seen: Attempt, *, is_certain: bool) -> UnloadReport:
    """The report of a module whose kernel did not stay well after the unload."""
    left, known = report.dangling, {r.text for r in report.log}
    # A panic says all of its log again.
    raw = tuple(dropwhile(lambda r: r.text in known, seen.log))
    records = left.symbolize(raw) if left else raw
    # Whatever was asked of the kernel, it has not answered: nothing of the attempt speaks for an unload.
    attempt = Attempt(None, records, answered=False, alive=seen.alive, reset=seen.reset, late=seen.late)
    resets = power.resets(quick.imports(left.ko)) if left and attempt.reset else None
    judgement = judge_unload(UnloadEvidence(report.module, attempt, resets=resets))
    judgement, place = with_lines(judgement, report.module, left.ko if left else None, records)
    if judgement.verdict == "lost" and seen.alive:
        return report  # it crashed before the unload: the load's own report has that
    likely = ""
    if left and judgement.code in power.ENDED:
        from kscaffold.load.ending import with_ending_call  # start-up time: few kernels end so

        cause, place = with_ending_call(judgement.cause, attempt, left.ko, resets)
        judgement, likely = replace(judgement, cause=cause), (cause or "").partition("; ")[2]
    if judgement.code == "KS619":
        cause = f"{judgement.cause}; {report.module} was unloaded already"
        judgement = replace(judgement, cause=cause, when="after it was unloaded", certain=is_certain)
    elif judgement.verdict != "lost":
        gone = left.freed_address(raw) if left else None
        judgement = after_exit(judgement, report.module, left, place, gone)
        if not is_certain:
            likely = "another of the unloaded modules may have left it running as well"
            judgement = replace(judgement, certain=False)
        if likely:
            judgement = replace(judgement, cause=f"{judgement.cause}; {likely}")
    return replace(report, judgement=judgement, place=place, log=(*report.log, *raw))
