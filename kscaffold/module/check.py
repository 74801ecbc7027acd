"""Check a .ko: what it says, what is wrong with it, and whether a kernel would take it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kscaffold.elf import kofile
from kscaffold.elf.model import DamagedModule, Function, KoFile
from kscaffold.elf.modinfo import gpl_compatible
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.facts import read_facts
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.signature_check import SignatureCheck, check_signature
from kscaffold.kernel.symvers import beside
from kscaffold.module.predict.finding import UNKNOWN, Finding, Level, Prediction
from kscaffold.module.predict.predict import of_damaged, predict
from kscaffold.pkcs7.certificate import Certificate, spaced


@dataclass(frozen=True, slots=True)
class Trust:
    """The kernel's command line, the certificates (DER) it gets besides its own, and those we know besides
    the remembered ones. Not `thorough`: signatures of the kernel's own modules are not computed, which
    takes 10 ms each.
    """

    cmdline: str = ""
    trusted: tuple[bytes, ...] = ()
    given: tuple[Certificate, ...] = ()
    thorough: bool = True


NO_TRUST = Trust()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `ko` is None where the file is damaged; `kernel` the release it was held
    against, None where there was none. `signature`: what there is to say of it, None without one.
    """

    path: Path
    ko: KoFile | None
    kernel: str | None
    prediction: Prediction
    findings: tuple[Finding, ...]
    signature: SignatureCheck | None = None

    @property
    def ok(self) -> bool:
        """No finding is an error."""
        return all(f.level != "error" for f in self.findings)


def check(
    path: Path,
    *,
    expected_name: str | None = None,
    kernel: Kernel | None = None,
    arguments: Sequence[str] = (),
    trust: Trust = NO_TRUST,
) -> CheckReport:
    """Check one .ko. Nothing is built, no program is run.

    `expected_name`: what the project calls it (`my-mod`); without, the file's name is compared, but a
    difference is no error. `arguments`: words in the kernel's syntax. `trust`: how the kernel is started,
    and the keys that it and we know besides its own. Raises UsageError where there is no
    such file and KscaffoldError where it can't be read; a damaged file is a report.
    """
    release = kernel.release if kernel else None
    facts = replace(read_facts(kernel), cmdline=trust.cmdline) if kernel else None
    try:
        ko = kofile.read_ko(path)
    except DamagedModule as flaw:
        prediction = of_damaged(flaw, facts)
        return CheckReport(path, None, release, prediction, prediction.findings)
    examined = check_signature(
        ko, kernel, trust.trusted, trust.given, verify=trust.thorough or not ko.info("intree")
    )
    prediction = predict(ko, facts, arguments, beside(path), examined) if facts else UNKNOWN
    findings = (*_own_findings(ko, expected_name, kernel, examined), *prediction.findings)
    return CheckReport(path, ko, release, prediction, findings, examined)


def unreadable(path: Path, kernel: Kernel | None, error: KscaffoldError) -> CheckReport:
    """The report of a .ko that can't be read, where others were asked about with it."""
    return CheckReport(
        path, None, None, UNKNOWN, (Finding(error.code, "error", None, _sentence(error), error.fix),)
    )


def _sentence(flaw: KscaffoldError) -> str:
    return f"{flaw.what}: {flaw.cause}" if flaw.cause else flaw.what


def _own_findings(
    ko: KoFile, expected: str | None, kernel: Kernel | None, examined: SignatureCheck | None
) -> list[Finding]:
    """What is wrong with the module itself, whatever the kernel's configuration."""
    found = [f for f in (_name(ko, expected), _init(ko), _exit(ko), _license(ko)) if f]
    if kernel is not None:
        return found  # the prediction tells of the rest, by the kernel's own rules
    if ko.arch != os.uname().machine:
        message = f"it is for {ko.arch}, this machine is {os.uname().machine}"
        fix = "build it for the kernel that shall load it"
        found.append(Finding("KS407", "error", "elf", message, fix))
    if ko.signature is not None and ko.signature.flaw:
        message = f"its signature can't be read: {ko.signature.flaw}"
        level: Level = "warn" if ko.signature.errno == "ENOPKG" else "error"
        found.append(Finding("KS417", level, "signature", message, "kscaffold sign, or build it again"))
    if examined is not None and examined.valid is False:
        message = "it was changed after it was signed"
        found.append(Finding("KS447", "error", "signature", message, "kscaffold sign"))
    return found


def _name(ko: KoFile, expected: str | None) -> Finding | None:
    file_name = ko.path.name.partition(".ko")[0]
    wanted = normalize_name(expected if expected is not None else file_name)
    if not ko.name:
        return Finding("KS412", "error", None, "it has no name", "kscaffold build")
    if ko.name == wanted:
        return None
    if expected is not None:
        message = f"it is called {ko.name}, the project should produce {wanted}"
        return Finding("KS412", "error", None, message, "kscaffold clean && kscaffold build")
    message = f"the kernel will call it {ko.name}, whatever the file is called"
    return Finding("KS412", "warn", None, message, f"rmmod {ko.name} is what will unload it")


def _init(ko: KoFile) -> Finding | None:
    if ko.info("intree"):
        return None  # the kernel's own have their reasons
    if ko.init is None:
        message = "it has no init function: loading it runs nothing"
        if ko.exports:  # a library is there for its symbols
            return Finding("KS413", "info", "init", message)
        return Finding("KS413", "error", "init", message, "name one with module_init(your_function);")
    if ko.init.section is not None and ko.init.section != ".init.text":
        message = f"its init function {ko.init.symbol} is in {ko.init.section}, so its memory is never freed"
        return Finding("KS415", "info", "init", message, f"write static int __init {ko.init.symbol}(void)")
    return None


def _exit(ko: KoFile) -> Finding | None:
    if ko.init is None or ko.exit is not None or ko.info("intree"):
        return None
    message = "it has no exit function: once loaded it can't be unloaded"
    return Finding("KS414", "warn", None, message, "name one with module_exit(your_function);")


def _license(ko: KoFile) -> Finding | None:
    if gpl_compatible(ko.license):
        return None
    shown = f"its licence {ko.license!r} is" if ko.license is not None else "it has no licence, which is"
    message = f"{shown} not GPL-compatible: it taints the kernel and gets no GPL-only symbol"
    return Finding("KS416", "warn", "version", message, 'MODULE_LICENSE("GPL");')


def check_document(report: CheckReport) -> dict[str, Any]:
    """The report as the JSON contract has it (design.md, `check`)."""
    ko = report.ko
    return {
        "module": ko.name if ko else None,
        "path": str(report.path),
        "kernel": report.kernel,
        "init": _function(ko.init) if ko else None,
        "exit": _function(ko.exit) if ko else None,
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
        "prediction": {
            "loads": report.prediction.loads,
            "stage": report.prediction.stage,
            "errno": report.prediction.errno,
        },
        "findings": [
            {"code": f.code, "level": f.level, "stage": f.stage, "message": f.message, "fix": f.fix}
            for f in report.findings
        ],
    }


def _function(function: Function | None) -> dict[str, str | None] | None:
    return None if function is None else {"symbol": function.symbol, "section": function.section}


def _signature(examined: SignatureCheck | None) -> dict[str, Any] | None:
    if examined is None or examined.signer is None:
        return None
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
