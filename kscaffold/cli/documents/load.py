"""JSON of `load`, `reload`, `run`, `unload`, `list` and `logs`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.diagnosis.crash import Complaint
    from kscaffold.diagnosis.klog import Record
    from kscaffold.instrument.findings import Findings
    from kscaffold.load.finding import Finding
    from kscaffold.load.loaded_modules import LoadedModules
    from kscaffold.load.report import LoadReport
    from kscaffold.load.unload import UnloadReport
    from kscaffold.load.verbs.load import Loads
    from kscaffold.load.verbs.run import Run

Document = dict[str, Any]


def load(report: "LoadReport") -> Document:
    """`load`, `reload` and `run`, of one module."""
    j = report.judgement
    return {
        "module": report.module,
        "path": str(report.path),
        "parameters": report.parameters.text,
        "target": report.target,
        "kernel": report.kernel,
        "arch": report.arch,
        "verdict": j.verdict,
        "loaded": j.verdict == "loaded",
        "clean": report.clean,
        "stage": j.stage,
        "errno": j.errno,
        "init_ran": j.init_ran,
        "returned": j.returned,
        "code": j.code,
        "cause": j.cause,
        "fix": j.fix,
        "log": [record(r) for r in report.log],
        "complaints": _complaints(report),
        "stages": [{"id": s.id, "status": s.status, "microseconds": s.microseconds} for s in j.stages],
        "dependencies": list(report.dependencies),
        "requests": [
            {"name": r.name, "modules": None if r.modules is None else list(r.modules)}
            for r in report.requests
        ],
        "note": report.note,
        "seconds": {k: round(v, 4) for k, v in report.seconds.items()},
        "accelerator": report.accelerator,
        "residue": _residue(report),
        "as_user": report.as_user,
    }


def loads(done: "Loads") -> Document:
    """`load` and `reload`: one module's document, or those of several."""
    reports, found = done.reports, done.sanitizer
    buggy = {f.report.where.module if f.report.where else None for f in found.findings} if found else set()
    documents = [{**load(r), **({"clean": False} if r.module in buggy else {})} for r in reports]
    more = _sanitizer(found)
    if len(reports) == 1:
        return {**documents[0], **more}
    total = sum(r.seconds["load"] for r in reports)
    return {"seconds": {"total": round(total, 4)}, "results": documents, **more}


def _sanitizer(found: "Findings | None") -> Document:
    """The key that only commands with the sanitizer have."""
    return _found(found.findings, found.unseen) if found else {}


def _found(findings: "Sequence[Finding]", unseen: "Mapping[str, str]") -> Document:
    from kscaffold.cli.documents import sanitizer  # start-up time: few commands are sanitized

    return {"sanitizer": sanitizer.sanitizer(findings, unseen)}


def record(r: "Record") -> Document:
    """One line of a log."""
    return {"level": r.level, "time": r.time, "text": r.text}


def complaints(found: "Iterable[Complaint]") -> list[Document]:
    """What the kernel complained of."""
    return [{"kind": c.kind, "text": c.text, "where": c.where} for c in found]


def _complaints(report: "LoadReport | UnloadReport") -> list[Document]:
    """The kernel's complaints; of a call that succeeded what else is against it, too."""
    from kscaffold.load.flaws import OTHERS  # start-up time: explain imports this file, too

    documents = [{"kind": c.kind, "text": c.text, "where": c.where} for c in report.judgement.complaints]
    kinds = {c.kind for c in report.judgement.complaints}
    return documents + [
        {"kind": f.kind, "text": f.text, "where": f.where} for f in report.flaws if f.kind in OTHERS - kinds
    ]


def _residue(report: "LoadReport | UnloadReport") -> list[Document] | None:
    """None where nobody looked: a load alone leaves what it needs."""
    if report.residue is None:
        return None
    return [{"kind": r.kind, "name": r.name, "where": r.where} for r in report.residue]


def unload(report: "UnloadReport") -> Document:
    """`unload`, of one module."""
    j = report.judgement
    return {
        "module": report.module,
        "kernel": report.kernel or None,
        "arch": report.arch or None,
        "verdict": j.verdict,
        "errno": j.errno,
        "code": j.code,
        "cause": j.cause,
        "fix": j.fix,
        "log": [record(r) for r in report.log],
        "seconds": round(report.seconds, 4),
        "clean": report.ok and not report.flaws and not report.findings,
        "complaints": _complaints(report),
        "residue": _residue(report),
        **(_found(report.findings, {}) if report.findings is not None else {}),
    }


def unloads(reports: "Sequence[UnloadReport]") -> Document:
    """`unload`: one module's document, or those of several."""
    documents = [unload(r) for r in reports]
    return documents[0] if len(documents) == 1 else {"results": documents}


def run(done: "Run") -> Document:
    """`run`."""
    results, build_seconds = done.tries, done.build_seconds
    documents = [
        {**_try(r, one[1], done.allow), **({"clean": False} if done.has_bugs(one) else {})}
        for one in results
        for r in one[0]
    ]
    more = _instruments(done)
    if len(documents) != 1:
        total = sum(r.seconds["total"] for loaded, _ in results for r in loaded) + build_seconds
        return {"seconds": {"total": round(total, 4)}, "results": documents, **more}
    seconds = documents[0]["seconds"]
    seconds["build"], seconds["total"] = build_seconds, seconds["total"] + build_seconds
    return {**documents[0], "seconds": {k: round(v, 4) for k, v in seconds.items()}, **more}


def _instruments(done: "Run") -> Document:
    """The keys that only a run with instruments has."""
    found = _sanitizer(done.sanitizer)
    if done.faults is not None:
        from kscaffold.cli.documents import faults  # start-up time: few runs have failing calls

        found["faults"] = faults.faults(done.faults, done.allow)
    if done.coverage is not None:
        from kscaffold.cli.documents import coverage  # start-up time: few runs count

        found["coverage"] = coverage.coverage(done.coverage)
    return found


def _try(loaded: "LoadReport", unloaded: "Sequence[UnloadReport]", allow: Collection[str]) -> Document:
    """A try's document is its load's; an unload that went wrong is the verdict then. What is not clean for
    another reason than those that are accepted is the answer where there is no other.
    """
    fields = load(loaded)
    mine = next((u for u in unloaded if u.module == loaded.module), None)
    if mine is None:
        return fields
    from kscaffold.load.flaws import not_allowed  # start-up time: explain imports this file, too

    j = mine.judgement
    fields["log"] += [record(r) for r in mine.log]
    fields["complaints"] += _complaints(mine)
    flaws = not_allowed((*loaded.flaws, *mine.flaws), allow)
    fields["clean"] = (
        None if fields["clean"] is None and mine.ok and not flaws else loaded.ok and mine.ok and not flaws
    )
    if flaws and not fields["code"]:
        fields.update(code=flaws[0].code, cause=flaws[0].text, fix=flaws[0].fix)
    if not mine.ok:
        fields.update(code=j.code, cause=j.cause, fix=j.fix, errno=j.errno)
        if j.verdict in ("crashed", "hung", "lost"):
            fields.update(verdict=j.verdict)
    return fields


def listed(found: "LoadedModules") -> Document:
    """`list`."""
    fields = [
        {
            "name": m.name,
            "size": m.size,
            "refcount": m.refcount,
            "used_by": list(m.used_by),
            "state": m.state.lower(),
            "permanent": m.permanent,
            "taints": m.taints,
        }
        for m in found.modules
    ]
    kernel = {"kernel": found.kernel or None, "arch": found.arch or None}
    return {"target": found.kind, **kernel, "modules": fields}


def logs(records: "Sequence[Record]", own: Sequence[bool]) -> list[Document]:
    """The lines of `logs`. `own`: which of them are the project's."""
    return [{**record(r), "own": mine} for r, mine in zip(records, own, strict=True)]
