"""JSON of `check` and `sign`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.elf.model import Function
    from kscaffold.kernel.signature_check import SignatureCheck
    from kscaffold.module.check import CheckReport
    from kscaffold.signing.key import Key
    from kscaffold.signing.sign import SignReport

Document = dict[str, Any]


def check(report: "CheckReport") -> Document:
    """`check`, of one module."""
    ko, prediction = report.ko, report.prediction
    return {
        "module": ko.name if ko else None,
        "path": str(report.path),
        "kernel": report.kernel,
        "arch": report.arch,
        "init": function(ko.init) if ko else None,
        "exit": function(ko.exit) if ko else None,
        "license": ko.license if ko else None,
        "vermagic": ko.vermagic if ko else None,
        "parameters": [
            {"name": p.name, "type": p.type, "description": p.description}
            for p in (ko.parameters if ko else ())
        ],
        "depends": list(ko.depends) if ko else [],
        "imports": list(ko.imports) if ko else [],
        "exports": [e.symbol for e in ko.exports] if ko else [],
        "signed": ko.signed if ko else False,
        "signature": _signature(report.signature),
        "prediction": {"loads": prediction.loads, "stage": prediction.stage, "errno": prediction.errno},
        "findings": [
            {"code": f.code, "level": f.level, "stage": f.stage, "message": f.message, "fix": f.fix}
            for f in report.findings
        ],
    }


def function(function: "Function | None") -> dict[str, str | None] | None:
    """The function a module begins or ends with."""
    return None if function is None else {"symbol": function.symbol, "section": function.section}


def _signature(examined: "SignatureCheck | None") -> Document | None:
    if examined is None or examined.signer is None:
        return None
    from kscaffold.pkcs7.certificate import spaced  # start-up time: most modules are not signed

    signer, owner = examined.signer, examined.certificate
    return {
        "signer": signer.name or (owner.name if owner else ""),
        "serial": spaced(signer.serial) if signer.issuer else None,
        "key_id": signer.key_id or (owner.key_id if owner else None) or None,
        "key": owner.key_name if owner else {"rsa": "RSA", "ec": "ECDSA"}.get(signer.key),
        "hash": signer.hash,
        "valid": examined.valid,
        "in_kernel": examined.in_kernel,
    }


def sign(reports: "Sequence[SignReport]", key: "Key") -> Document:
    """`sign`."""
    return {
        "key": str(key.file),
        "certificate": str(key.file_of_certificate),
        "made": key.made,
        "signer": key.certificate.name,
        "hash": reports[0].hash if reports else None,
        "modules": [
            {"module": r.module, "path": str(r.path), "out": str(r.out), "replaced": r.replaced is not None}
            for r in reports
        ],
    }
