"""JSON of `run --coverage` and `test --coverage`: the value of the key `coverage`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.instrument.coverage import Coverage

Document = dict[str, Any]


def coverage(found: "Coverage") -> Document:
    """The value of the JSON key `coverage`."""
    return {
        "share": round(found.share, 4),
        "files": [
            {
                "file": f.file,
                "lines": [{"line": line, "count": count} for line, count in f.lines.items()],
                "functions": [{"name": g.name, "line": g.line, "count": g.count} for g in f.functions],
            }
            for f in found.files
        ],
        "unseen": [{"module": name, "what": what} for name, what in found.unseen.items()],
    }
