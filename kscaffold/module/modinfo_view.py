"""What a .ko carries about itself: modinfo's view."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kscaffold.elf import content, kofile, signature
from kscaffold.pkcs7 import certificate
from kscaffold.pkcs7.der import DerError

# Bytes of a signature in one line.
_WIDTH = 20


def info(path: Path) -> dict[str, Any]:
    """The facts of one .ko as JSON has them. Raises as kofile.read()."""
    ko = kofile.read_ko(path)
    return {
        "module": ko.name,
        "path": str(path.absolute()),
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
    # What a parameter is and what it is for are two entries of a module, and one line of modinfo, the last
    # one first and all of them at the end.
    parameters: dict[str, dict[str, str]] = {}
    for key, value in ((pair["key"], pair["value"]) for pair in document["modinfo"]):
        if key in ("parm", "parmtype"):
            name, _, text = value.partition(":")
            parameters.setdefault(name, {}).setdefault(key, text)
        else:
            yield key, value
    if document["signed"]:
        yield from _signature(Path(document["path"]))
    for name, fields in reversed(parameters.items()):
        text = (
            " ".join((fields["parm"], f"({fields['parmtype']})"))
            if len(fields) == 2
            else "".join(fields.values())
        )
        yield "parm", f"{name}:{text}"
    yield "signed", "yes" if document["signed"] else "no"


def _signature(path: Path) -> Iterator[tuple[str, str]]:
    """Who signed a module, and how; nothing where the signature can't be read: `check` says why."""
    try:
        signer = certificate.signer(signature.message(content.read_content(path)[0]))
    except DerError:
        return
    yield "sig_id", "PKCS#7"
    yield "signer", signer.name
    yield "sig_key", signer.shown
    yield "sig_hashalgo", signer.hash
    rows = [signer.value[at : at + _WIDTH] for at in range(0, len(signer.value), _WIDTH)]
    for number, row in enumerate(rows):
        last = number == len(rows) - 1
        yield "" if number else "signature", row.hex(":").upper() + ("" if last else ":")
