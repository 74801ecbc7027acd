"""Why a load that succeeded is not clean: what the kernel complained of, and what was left behind."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from kscaffold.diagnosis import catalogue
from kscaffold.load.assignment import near_name, stray_module
from kscaffold.records import dataclass

if TYPE_CHECKING:
    from kscaffold.diagnosis.crash import Complaint
    from kscaffold.diagnosis.residue.kinds import Residue
    from kscaffold.load.addr2line import SourceLine
    from kscaffold.load.report import LoadReport
    from kscaffold.load.unload import UnloadReport

NOT_KNOWN = "KS245"
"""The code of a complaint that the catalogue has no entry for."""
RESIDUE = frozenset(("KS390", *(f"KS{number}" for number in range(393, 400))))
"""The codes of what was left behind."""
_DUMP = 40  # lines of a call trace
_KINDS = {"KS202": "returned", "KS223": "parameter", "KS264": "taken", "KS312": "taken"}


def codes() -> tuple[str, ...]:
    """Every code that a run may complain of: the kernel's complaints, what is left, the instruments'."""
    of_kernel = (e.code for e in catalogue.entries("23").values() if e.complaints)
    found = {NOT_KNOWN, "KS617", *_KINDS, *RESIDUE, *of_kernel, *catalogue.entries("7")}
    return tuple(sorted(found))


OTHERS = frozenset({*_KINDS.values(), "unload"})
"""Kinds that are no complaint of the kernel's about a crash or a bug."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One reason. `kind`: a crash.Complaint's, a Residue's, or `returned`, `parameter`, `taken` (a name that
    was). `text`: a sentence. `where`: `file.c:line`, or the kernel's own word for the place. `place`: the
    line of source, where it was read.
    """

    code: str
    kind: str
    text: str
    fix: str
    where: str | None = None
    place: "SourceLine | None" = None


def flaws_of_load(report: "LoadReport") -> tuple[Flaw, ...]:
    """The flaws that make a successful load unclean, the worst first; none where the load failed."""
    if not report.ok:
        return ()
    j = report.judgement
    found = _of_complaints(j.complaints, report.place)
    for w in j.warnings:
        cause, fix = w.cause, w.fix
        if w.entry.code == "KS223":
            name = w.groups["parameter"]
            fix = near_name(name, report.file)
            stray = stray_module(name, report.parameters, [report.module])
            if stray:
                cause = f"{stray}=… is for the module {name}, and this is {report.module}"
        where = _line_of_dump(w.lines, report) if w.entry.code == "KS264" else None
        found.append(Flaw(w.entry.code, _KINDS[w.entry.code], cause, fix, where))
    return tuple(found)


def _line_of_dump(lines: Sequence[str], report: "LoadReport") -> str | None:
    """The module's line in the call trace that follows one of these lines; None where there is none."""
    from kscaffold.load.addr2line import place_of  # start-up time: few names are taken

    texts = [r.text for r in report.log]
    start = next((i for i, text in enumerate(texts) if text in lines), len(texts))
    frame = re.compile(rf" ([\w.$]+\+0x[0-9a-f]+/0x[0-9a-f]+) \[{re.escape(report.module)}[ \]]")
    hits = (frame.match(text[:300]) for text in texts[start + 1 : start + _DUMP])
    hit = next((h for h in hits if h), None)
    place = place_of(hit[1], report.file, report.log) if hit else None
    return str(place) if place else None


def flaws_of_unload(report: "UnloadReport") -> tuple[Flaw, ...]:
    """The flaws that make a successful unload unclean; none where the unload failed."""
    if not report.ok:
        return ()
    j = report.judgement
    found = _of_complaints(j.complaints, report.place)
    if j.code and j.cause and j.code not in {f.code for f in found}:
        where = _line_of_start(report) if j.code == "KS617" and not j.certain else None
        found.insert(0, Flaw(j.code, _KINDS.get(j.code, "unload"), j.cause, j.fix or "", where))
    return tuple(found)


def _line_of_start(report: "UnloadReport") -> str | None:
    """Where the module calls what, as its imports say, nothing of it ends."""
    from kscaffold.diagnosis.residue.source import lines_of_call  # start-up time: few modules forget an end
    from kscaffold.load.source_files import sources_of

    left = report.dangling
    found = lines_of_call(left.forgotten[0], sources_of([left.ko])) if left and left.forgotten else ()
    return f"{found[0][0]}:{found[0][1]}" if found else None


def flaws_of_endless_unload(report: "UnloadReport", busy: str) -> tuple[Flaw, ...]:
    """The flaw of an unload that does not end; none of another one. `busy`: who was busy in the module
    before, and where; empty for nobody.
    """
    j = report.judgement
    if j.verdict != "hung" or not (j.code and j.cause):
        return ()
    text = f"{busy}, and does not end: {report.module} can't be unloaded" if busy else j.cause
    return (Flaw(j.code, "stuck", text, j.fix or ""),)


def flaws_of_residue(residue: "Sequence[Residue]") -> tuple[Flaw, ...]:
    """What was left behind, as flaws."""
    return tuple(Flaw(r.code, r.kind, r.text, r.fix, r.where) for r in residue)


def not_allowed(flaws: Sequence[Flaw], allow: Collection[str]) -> tuple[Flaw, ...]:
    """The flaws whose code nobody accepted."""
    return tuple(f for f in flaws if f.code not in allow)


def _of_complaints(complaints: "Sequence[Complaint]", place: "SourceLine | None") -> list[Flaw]:
    found = []
    for complaint in complaints:
        entry = catalogue.entry_of_complaint(complaint.meaning)
        line = place if place and str(place) == complaint.where else None
        code, fix = (entry.code, entry.fix) if entry else (NOT_KNOWN, "")
        found.append(Flaw(code, complaint.kind, complaint.summary, fix, complaint.where, line))
    return found
