"""What a module did to its kernel between our calls: a timer, a worker or a thread of its own may crash
when nobody is looking.
"""

from collections.abc import Sequence

from kscaffold.diagnosis import catalogue, crash, crash_heads
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.errors import KscaffoldError
from kscaffold.load.addr2line import locate_complaints
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport
from kscaffold.records import replace
from kscaffold.targets.target import Target


def blame_late_crash(
    loads: Sequence[LoadReport], unloads: Sequence[UnloadReport], target: Target
) -> list[LoadReport]:
    """Look for a crash or a warning outside of all these loads and unloads.

    Returns the same loads. The load of the module that crashed the kernel is `crashed`; the load of a module
    that made the kernel warn has that warning. Asks the target for one number, and for its log only where
    that number tells of either.
    """
    known = [c for r in loads for c in r.judgement.complaints]
    known += [c for r in unloads for c in r.judgement.complaints]
    if not _ended_well(loads, unloads, known):
        return list(loads)
    tainted = target.tainted() or 0
    news = tainted & crash_heads.REPORTED
    if not news or any(c.taints & news for c in known):
        return list(loads)
    try:
        log = target.log()
    except KscaffoldError:  # the kernel can't be asked: there is no proof of anything
        return list(loads)
    return _blamed(list(loads), _unseen(log, loads, unloads), tainted)


def _ended_well(
    loads: Sequence[LoadReport], unloads: Sequence[UnloadReport], known: Sequence[Complaint]
) -> bool:
    """Whether the kernel still stood after the last call, and no crash is known."""
    gone = any(r.judgement.verdict in ("crashed", "hung", "lost") for r in unloads)
    return not gone and not any(c.fatal for c in known) and all(r.ok for r in loads)


def _unseen(
    log: Sequence[Record], loads: Sequence[LoadReport], unloads: Sequence[UnloadReport]
) -> list[Record]:
    """The records of the kernel since the first load that are in no report."""
    of_loads = {r.seq for report in loads for r in report.log}
    # What comes before is the boot's.
    first = min((seq for seq in of_loads if seq is not None), default=0)
    seen = of_loads | {r.seq for report in unloads for r in report.log}
    return [r for r in log if r.seq not in seen and (r.seq or 0) > first]


def _blamed(loads: list[LoadReport], records: Sequence[Record], tainted: int) -> list[LoadReport]:
    """The loads, one of them with the worst of the kernel's complaints: that of the module it names, else,
    as a guess that says so, the last one.
    """
    complaints = crash.harmless_complaints(crash.complaints(records), tainted)
    worst = next((c for c in complaints if c.fatal), complaints[0] if complaints else None)
    if worst is None:
        return loads
    named = next((i for i, r in enumerate(loads) if r.module == worst.module), None)
    index = len(loads) - 1 if named is None else named
    loads[index] = _with(loads[index], records, tainted, fatal=worst.fatal, is_guess=named is None)
    return loads


def _with(
    report: LoadReport, records: Sequence[Record], tainted: int, *, fatal: bool, is_guess: bool
) -> LoadReport:
    """A report with what the kernel said after the load."""
    found = crash.harmless_complaints(crash.complaints(records, report.module), tainted)
    found, place = locate_complaints(found, report.module, report.file, records)
    worst = next(c for c in found if c.fatal or not fatal)
    j = report.judgement
    before = [replace(c, index=-1) for c in j.complaints]
    origin = crash.origin_of(worst, (*before, *found), report.module) if fatal else worst
    entry = catalogue.entry_of_complaint(origin.meaning)
    complaints = (*j.complaints, *found)
    if entry and (fatal or j.code is None):
        cause = f"{crash.cause_of_crash(worst, origin)}, after init had returned"
        if is_guess:
            cause += f"; the kernel does not name {report.module}, which was only the last one loaded"
        j = replace(
            j,
            verdict="crashed" if fatal else j.verdict,
            code=entry.code,
            cause=cause,
            fix=entry.fix,
            certain=j.certain and not is_guess,
        )
    return replace(
        report,
        judgement=replace(j, complaints=complaints),
        place=place or report.place,
        log=(*report.log, *records[found[0].index :]),
    )
