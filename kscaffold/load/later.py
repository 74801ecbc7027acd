"""What a module did to its kernel between our calls: a timer, a worker or a thread of its own may crash
when nobody is looking.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from kscaffold.diagnosis import catalogue, crash
from kscaffold.errors import KscaffoldError
from kscaffold.load.report import LoadReport
from kscaffold.load.source import locate
from kscaffold.load.unload import UnloadReport
from kscaffold.target.sandbox import DIED, SandboxTarget


def crashed_between(
    loads: Sequence[LoadReport], unloads: Sequence[UnloadReport], target: SandboxTarget
) -> list[LoadReport]:
    """The same loads; the last of them as `crashed` where a crash shows in the kernel's log that fell into
    no load and no unload. Asks the guest for one number; for its log only where that tells of a crash.
    """
    told = [c for r in loads for c in r.judgement.complaints]
    told += [c for r in unloads for c in r.judgement.complaints]
    gone = any(r.judgement.verdict in ("crashed", "hung", "lost") for r in unloads)
    if gone or any(c.fatal for c in told) or not all(r.ok for r in loads):
        return list(loads)
    with contextlib.suppress(OSError, KscaffoldError, ValueError):
        if int(target.read("/proc/sys/kernel/tainted")) & DIED:
            return [*loads[:-1], _crashed(loads[-1], target)]
    return list(loads)


def _crashed(report: LoadReport, target: SandboxTarget) -> LoadReport:
    records = [r for r in target.log() if r.seq not in {x.seq for x in report.log}]
    found, place = locate(crash.complaints(records, report.module), report.module, report.path, records)
    fatal = next((c for c in found if c.fatal), None)
    entry = catalogue.of_complaint(fatal.kind) if fatal else None
    if fatal is None or entry is None:
        return report
    first = next(i for i, r in enumerate(records) if r.seq == fatal.seq)
    judgement = replace(
        report.judgement,
        verdict="crashed",
        code=entry.code,
        cause=f"{fatal.told}, after init had returned",
        fix=entry.fix,
        complaints=(*report.judgement.complaints, *found),
    )
    return replace(report, judgement=judgement, place=place, log=(*report.log, *records[first:]))
