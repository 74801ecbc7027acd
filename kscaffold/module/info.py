"""What a .ko carries about itself: modinfo's view."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kscaffold.module import kofile


def info(path: Path) -> dict[str, Any]:
    """The facts of one .ko as JSON has them. Raises as kofile.read()."""
    ko = kofile.read(path)
    return {
        "module": ko.name,
        "path": str(path),
        "architecture": ko.arch,
        "size": ko.size,
        "compression": ko.compression,
        "signed": ko.signed,
        "modinfo": [{"key": key, "value": value} for key, value in ko.modinfo],
        "imports": list(ko.imports),
        "exports": [{"symbol": e.symbol, "gpl": e.gpl, "namespace": e.namespace} for e in ko.exports],
        "sections": [
            {"name": s.name, "type": s.type, "flags": s.flags, "size": s.size} for s in ko.sections if s.alloc
        ],
    }


def lines(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines that modinfo would show, as (key, value)."""
    yield "filename", document["path"]
    for pair in document["modinfo"]:
        yield pair["key"], pair["value"]
    yield "signed", "yes" if document["signed"] else "no"
