"""What a module did to its kernel between our calls, or while another module's was made: a timer, a worker or
a thread of its own may crash when nobody is looking.
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from kscaffold.diagnosis import catalogue, crash, crash_heads
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.addr2line import locate_complaints, with_source_line
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


_Report = TypeVar("_Report", LoadReport, UnloadReport)


def of_another(report: _Report, others: Iterable[ModuleFile]) -> _Report:
    """The report on a load or an unload during which the kernel crashed in one of the `others`, not in its
    own module: it names that one, with the line of its source. `others` is asked only where it may be so.
    """
    j = report.judgement
    fatal = next((c for c in j.complaints if c.fatal), None)
    if fatal is None or fatal.module in (None, report.module):
        return report
    with contextlib.suppress(KscaffoldError):
        ko = next((ko for ko in others if ko.module == fatal.module), None)
        if ko is None:
            return report
        located, place = locate_complaints(j.complaints, ko.module, ko, report.log)
        cause = f"{ko.module} crashed it: {with_source_line(fatal.summary, j.complaints, located)}"
        return replace(
            report,
            judgement=replace(j, complaints=located, cause=cause),
            place=place,
            crashed_by=ko.module,
        )
    return report


def blame_other_calls(
    loads: Sequence[LoadReport], unloads: Sequence[UnloadReport]
) -> tuple[list[LoadReport], list[UnloadReport]]:
    """The same reports, and where the kernel crashed in one of these modules while another was loaded or
    unloaded, or before its own unload had begun, its load is `crashed`. An unload that had not begun is
    taken out then: what it would have done nobody knows.
    """
    files = [r.file for r in loads]
    blamed, left = [of_another(r, files) for r in loads], [of_another(r, files) for r in unloads]
    for index, load in enumerate(loads):
        calls: list[LoadReport | UnloadReport] = [*blamed, *left]
        crashed = next((r for r in calls if r.crashed_by == load.module or _came_late(r, load)), None)
        if crashed is not None and load.ok:
            records, known = crashed.log, crash_heads.REPORTED
            blamed[index] = _with(load, records, known, fatal=True, is_guess=False, is_last=True)
    gone = {r.module for r in blamed if not r.ok}
    return [_before_crash(r) for r in blamed], [r for r in left if r.begun or r.module not in gone]


def _came_late(call: LoadReport | UnloadReport, load: LoadReport) -> bool:
    """Whether a call is the unload of that load's module, and the module had crashed the kernel before."""
    fatal = next((c for c in call.judgement.complaints if c.fatal), None)
    late = isinstance(call, UnloadReport) and not call.begun and call.module == load.module
    return late and fatal is not None and fatal.module == load.module


def _before_crash(report: LoadReport) -> LoadReport:
    """A report with its own records alone, where those of the crash are in another's."""
    if not report.crashed_by:
        return report
    first = min(c.index for c in report.judgement.complaints if c.fatal)
    return replace(report, log=report.log[:first])


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
    report: LoadReport,
    records: Sequence[Record],
    tainted: int,
    *,
    fatal: bool,
    is_guess: bool,
    is_last: bool = False,
) -> LoadReport:
    """A report with what the kernel said after the load. `is_last`: these are its last words."""
    found = tuple(crash.complaints(records, report.module))
    found = found if is_last else crash.harmless_complaints(found, tainted)
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
