"""What a module did to its kernel between our calls: a timer, a worker or a thread of its own may crash
when nobody is looking.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from kscaffold.diagnosis import catalogue, crash
from kscaffold.diagnosis.klog import Record
from kscaffold.errors import KscaffoldError
from kscaffold.load.addr2line import locate_complaints
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport
from kscaffold.targets.sandbox import SandboxTarget


def blame_late_crash(
    loads: Sequence[LoadReport], unloads: Sequence[UnloadReport], target: SandboxTarget
) -> list[LoadReport]:
    """The same loads; the one whose module crashed its kernel outside of all loads and unloads as
    `crashed`, one that made it warn there with that warning. Asks the guest for one number; for its log
    only where that tells of either.
    """
    told = [c for r in loads for c in r.judgement.complaints]
    told += [c for r in unloads for c in r.judgement.complaints]
    gone = any(r.judgement.verdict in ("crashed", "hung", "lost") for r in unloads)
    if gone or any(c.fatal for c in told) or not all(r.ok for r in loads):
        return list(loads)
    with contextlib.suppress(KscaffoldError):
        tainted = target.tainted() or 0
        news = tainted & crash.REPORTED
        if news and not any(c.taints & news for c in told):
            seen = {r.seq for report in loads for r in report.log}
            # What comes before is the boot's.
            first = min((seq for seq in seen if seq is not None), default=0)
            seen |= {r.seq for report in unloads for r in report.log}
            records = [r for r in target.log() if r.seq not in seen and (r.seq or 0) > first]
            return _blamed(list(loads), records, tainted)
    return list(loads)


def _blamed(loads: list[LoadReport], records: Sequence[Record], tainted: int) -> list[LoadReport]:
    complaints = crash.harmless_complaints(crash.complaints(records), tainted)
    worst = next((c for c in complaints if c.fatal), complaints[0] if complaints else None)
    if worst is None:
        return loads
    index = next((i for i, r in enumerate(loads) if r.module == worst.module), -1)
    loads[index] = _with(loads[index], worst.fatal, records, tainted)
    return loads


def _with(report: LoadReport, fatal: bool, records: Sequence[Record], tainted: int) -> LoadReport:
    """A report with what the kernel said later."""
    found = crash.harmless_complaints(crash.complaints(records, report.module), tainted)
    found, place = locate_complaints(found, report.module, report.path, records)
    worst = next(c for c in found if c.fatal or not fatal)
    entry, j = catalogue.entry_of_complaint(worst.meaning), report.judgement
    complaints = (*j.complaints, *found)
    if entry and (fatal or j.code is None):
        cause = f"{worst.told}, after init had returned"
        j = replace(j, verdict="crashed" if fatal else j.verdict, code=entry.code, cause=cause, fix=entry.fix)
    return replace(
        report,
        judgement=replace(j, complaints=complaints),
        place=place or report.place,
        log=(*report.log, *records[found[0].index :]),
    )
