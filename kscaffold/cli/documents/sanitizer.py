"""JSON of `run`, `load` and `unload` with the sanitizer: the value of the key `sanitizer`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kscaffold.load.finding import detail

if TYPE_CHECKING:
    from kscaffold.load.addr2line import SourceLine
    from kscaffold.load.finding import Finding

Document = dict[str, Any]


def sanitizer(findings: "Sequence[Finding]", unseen: "Mapping[str, str]") -> Document:
    """The value of the JSON key `sanitizer`."""
    return {
        "reports": [_of_finding(f) for f in findings],
        "unseen": [{"module": name, "what": what} for name, what in unseen.items()],
    }


def _of_finding(found: "Finding") -> Document:
    report, entry, memory = found.report, found.entry, found.report.memory
    return {
        "kind": report.kind,
        "code": entry.code,
        "text": found.head,
        "detail": detail(report),
        "cause": entry.cause,
        "fix": entry.fix,
        "where": _of_place(found.place),
        "access": report.access,
        "size": report.size or None,
        "object": {"kind": memory.kind, "size": memory.size, "offset": memory.offset, "count": memory.count}
        if memory
        else None,
        "lock": report.lock,
        "task": report.task,
        "parameters": found.parameters,
        "sites": [
            {"role": site.role, "at": site.text, "where": _of_place(place)} for site, place in found.places
        ],
        "stack": [site.text for site in report.stack],
    }


def _of_place(place: "SourceLine | None") -> Document | None:
    return {"file": place.file, "line": place.line, "function": place.function} if place else None
