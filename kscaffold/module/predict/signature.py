"""Whose signature a module has, whether it is right, and what a kernel makes of it.

Source: module_sig_check() in kernel/module/signing.c, pkcs7_validate_trust() and pkcs7_verify() in
crypto/asymmetric_keys. A kernel looks for the key first: without it (ENOKEY) the content is never checked.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold import process
from kscaffold.elf import content, signature
from kscaffold.elf.model import KoFile
from kscaffold.kernel import trusted_image
from kscaffold.kernel.facts import KernelFacts
from kscaffold.kernel.kernel import Kernel
from kscaffold.module.predict.finding import UNSURE, Finding, Level
from kscaffold.module.predict.sig_enforce import enforced, locked_down
from kscaffold.pkcs7 import certificate, der, keyring
from kscaffold.pkcs7.certificate import Certificate, Signer
from kscaffold.pkcs7.der import DerError

_TIMEOUT = 20.0  # s
_SIGN = "kscaffold sign"
# The option that a hash comes with (crypto/Kconfig).
_OPTIONS = {
    "md5": "CRYPTO_MD5",
    "sha1": "CRYPTO_SHA1",
    "sha224": "CRYPTO_SHA256",
    "sha256": "CRYPTO_SHA256",
    "sha384": "CRYPTO_SHA512",
    "sha512": "CRYPTO_SHA512",
    "sha3-256": "CRYPTO_SHA3",
    "sha3-384": "CRYPTO_SHA3",
    "sha3-512": "CRYPTO_SHA3",
}


@dataclass(frozen=True, slots=True)
class Examined:
    """A signature that was looked at. `signer` is None where its message can't be read, for the reason
    `flaw`. `certificate`: of its key, None where nobody here knows it. `valid`: over the module's bytes,
    None where that can't be told. `in_kernel`: the kernel has that key; None where its keys are not known.
    """

    signer: Signer | None
    flaw: str | None
    certificate: Certificate | None
    valid: bool | None
    in_kernel: bool | None


def examine(
    ko: KoFile,
    kernel: Kernel | None,
    trusted: Sequence[bytes] = (),
    given: Sequence[Certificate] = (),
    verify: bool = True,
) -> Examined | None:
    """Look at the signature of a .ko; None where it has none that a kernel would read.

    `trusted`: certificates (DER) that the kernel will be given besides its own. `given`: certificates to
    know besides those that are remembered. `verify`: hold the signature against the module's bytes.
    """
    if not ko.signed:
        return None
    raw, _ = content.read_content(ko.path)
    try:
        signer = certificate.signer(signature.message(raw))
    except DerError as error:
        return Examined(None, str(error), None, None, None)
    own = _own(kernel)
    kernels = _read([*(own or ()), *trusted])
    owner = keyring.owner(signer, kernels)
    in_kernel = True if owner else None if own is None else False
    owner = owner or keyring.owner(signer, [*given, *keyring.known()])
    valid = _valid(signer, owner, raw[: signature.find_signature(raw)[1]]) if owner and verify else None
    return Examined(signer, None, owner, valid, in_kernel)


def _own(kernel: Kernel | None) -> tuple[bytes, ...] | None:
    """The certificates built into a kernel. The running one may have more: of the firmware, of MOK."""
    return trusted_image.own_images(kernel) if kernel is not None and kernel.source != "running" else None


def _read(certificates: Sequence[bytes]) -> list[Certificate]:
    found = []
    for raw in certificates:
        try:
            found.append(certificate.read_certificate(raw))
        except DerError:
            continue
    return found


def _valid(signer: Signer, owner: Certificate, module: bytes) -> bool | None:
    openssl = process.which("openssl")
    if openssl is None or signer.attributes or signer.hash not in _OPTIONS:
        return None
    with tempfile.TemporaryDirectory(prefix="kscaffold-") as name:
        place = Path(name)
        (place / "public").write_bytes(der.to_pem(owner.public, "PUBLIC KEY"))
        (place / "value").write_bytes(signer.value)
        argv = [openssl, "dgst", f"-{signer.hash}", "-verify", str(place / "public")]
        done = process.run([*argv, "-signature", str(place / "value")], timeout=_TIMEOUT, stdin=module)
    if "Verified OK" in done.stdout:
        return True
    return False if done.returncode == 1 else None


def findings(examined: Examined, facts: KernelFacts) -> list[Finding]:
    """What a kernel makes of a signature that it can read, and what is to be told of it."""
    wants = bool(facts.has("MODULE_SIG_FORCE")) or enforced(facts.cmdline)
    locked = locked_down(facts.cmdline) and facts.has("SECURITY_LOCKDOWN_LSM") is not False
    refusal = "EKEYREJECTED" if wants else "EPERM" if locked else None
    if examined.signer is None:
        message = f"its signature can't be read: {examined.flaw}"
        return [Finding("KS417", "error", "signature", message, _SIGN, UNSURE)]
    found = []
    if examined.valid is False:
        who = examined.certificate.name if examined.certificate else "nobody"
        message = f"it was changed after it was signed with the key of {who!r}"
        # Refused also where no signature is asked for, by a kernel that has the key.
        errno = "EKEYREJECTED" if examined.in_kernel else None
        found.append(Finding("KS447", "error", "signature", message, _SIGN, errno))
        if examined.in_kernel:
            return found
    lacks = unsupported(examined, facts)
    if lacks:
        kinds = (examined.signer.key, examined.certificate.key if examined.certificate else None)
        # A guest loads no module by itself, as a machine with modprobe may.
        certain = lacks[1] or (examined.in_kernel is not None and "other" not in kinds)
        errno = refusal if certain or refusal is None else UNSURE
        level: Level = "error" if errno and errno != UNSURE else "warn"
        return [*found, Finding("KS449", level, "signature", lacks[0], lacks[2], errno)]
    return [*found, *_trust(examined, facts, refusal)]


def _trust(examined: Examined, facts: KernelFacts, refusal: str | None) -> list[Finding]:
    assert examined.signer is not None
    if examined.in_kernel:
        if examined.valid is None and refusal:
            message = "whether its signature is right can't be told"
            fix = "sudo apt-get install --no-install-recommends openssl"
            return [Finding("KS441", "info", "signature", message, fix, UNSURE)]
        return []
    who = repr(examined.signer.name) if examined.signer.name else f"key {examined.signer.shown}"
    if examined.in_kernel is None:
        if refusal is None:
            return []
        message = f"it is signed by {who}; whether the kernel knows the key can't be seen from outside"
        return [Finding("KS441", "info", "signature", message, None, UNSURE)]
    message = f"it is signed by {who}, whose key {facts.release} does not have"
    if refusal is None:
        return [Finding("KS448", "info", "signature", f"{message}: it is tainted by the load (E)")]
    return [Finding("KS448", "error", "signature", message, "kscaffold sign, or --cert FILE", refusal)]


def unsupported(examined: Examined, facts: KernelFacts) -> tuple[str, bool, str] | None:
    """What of a signature the kernel's cryptography lacks: a sentence, whether that is certain, and what
    to do; None where it lacks nothing that is known.
    """
    signer, owner = examined.signer, examined.certificate
    assert signer is not None
    # openssl calls a signature of an RSA-PSS key a plain one; the kernel has no use for that certificate.
    key = signer.key if owner is None or owner.key == signer.key else "other"
    return lacking(key, owner.curve if owner else None, signer.hash, facts)


def lacking(key: str, curve: str | None, hash: str, facts: KernelFacts) -> tuple[str, bool, str] | None:
    """As `unsupported`, of a kind of key, its curve, and a hash."""
    if facts.config is None:
        return None
    if key == "other":
        return (f"{facts.release} may not know signatures of its kind", False, "sign it with an RSA key")
    option = {"rsa": "CRYPTO_RSA", "ec": "CRYPTO_ECDSA"}[key]
    shown = {"rsa": "RSA", "ec": f"ECDSA {curve}" if curve else "ECDSA"}[key]
    if facts.has(option) is False:
        return _without(facts, option, shown, "sign it with an RSA key")
    if key == "ec" and curve not in (None, "P-256", "P-384", "P-521"):
        return (f"{facts.release} does not know the curve {curve}", True, "sign it with an RSA key")
    option = _OPTIONS.get(hash, "")
    # What the kernel's own modules are signed with it has, whatever its options are called.
    begin = option.removeprefix("CRYPTO_").lower()
    if option and any(name.startswith(begin) for name in facts.loaded or ()):
        return None  # sha512_generic, sha3_generic and the like
    if not option or (facts.has(option) is False and f'CONFIG_MODULE_SIG_HASH="{hash}"' not in facts.config):
        return _without(facts, option, hash, "kscaffold sign --hash sha256")
    return None


def _without(facts: KernelFacts, option: str, what: str, fix: str) -> tuple[str, bool, str]:
    if option and facts.config and f"\nCONFIG_{option}=m\n" in facts.config:
        return (f"{facts.release} has {what} in a module that must be loaded before", False, fix)
    return (f"{facts.release} can't verify {what} signatures", True, fix)
