"""JSON of `run --faults`: the value of its key `faults`."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.instrument.fault_rows import Faults, Row
    from kscaffold.load.addr2line import SourceLine

Document = dict[str, Any]


def faults(found: "Faults", allow: Collection[str]) -> Document:
    """The value of the JSON key `faults`."""
    return {
        "clean": not found.not_clean(allow) and found.problem is None,
        "rows": [_of_row(row) for row in found.rows],
        "left_out": found.left_out,
        "problem": found.problem,
    }


def _of_row(row: "Row") -> Document:
    entry = row.entry
    return {
        "number": row.call.number,
        "call": row.call.name,
        "function": row.call.function,
        "where": _of_place(row.place),
        "outcome": row.outcome,
        "failed_with": row.call.failed_with,
        "returned": row.returned,
        "code": entry.code if entry else None,
        "cause": entry.cause if entry else None,
        "fix": entry.fix if entry else None,
        "wrong": [{"text": wrong.text, "where": wrong.where} for wrong in row.wrong],
        "parameters": row.parameters,
        "test": row.test,
    }


def _of_place(place: "SourceLine | None") -> Document | None:
    return {"file": place.file, "line": place.line, "function": place.function} if place else None
