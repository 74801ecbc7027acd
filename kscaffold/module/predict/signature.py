"""Stage `signature`: is the module signed, and does the kernel ask for that?

Source: module_sig_check() in kernel/module/signing.c.
"""

from collections.abc import Iterator

from kscaffold.elf import content, signature
from kscaffold.elf.model import KoFile
from kscaffold.kernel.facts import KernelFacts, own_copy
from kscaffold.kernel.signature_check import HASH_OPTIONS, SignatureCheck
from kscaffold.module.predict.finding import UNSURE, Finding, Level
from kscaffold.module.predict.question import Question
from kscaffold.module.predict.sig_enforce import enforced, locked_down

_SIGN = "kscaffold sign"
_SIGN_OR_BUILD = "kscaffold sign, or build it again"
_TAKE_RSA = "sign it with an RSA key"


def findings(question: Question) -> list[Finding]:
    """What a kernel makes of the module's signature, or of there being none."""
    ko, kernel, check = question.ko, question.kernel, question.signature
    if kernel.has("MODULE_SIG") is False:
        return []
    if not ko.signed:
        return list(_unsigned(ko, kernel))
    tampered = _tampered(ko, kernel)
    # The kernel's own key signed one thing: what else seems to be its signature nobody can be sure of.
    if tampered and (tampered.level == "error" or check is None or _seems_own(check)):
        return [tampered]
    if check is not None:
        return list(_signed(check, kernel))
    if _refusal(kernel) is None:
        return []
    message = "it is signed; whether the kernel knows the key can't be seen from outside"
    return [Finding("KS441", "info", "signature", message, None, UNSURE)]


def _refusal(kernel: KernelFacts) -> str | None:
    """The errno of a module without a signature that the kernel trusts; None where it takes such modules."""
    if kernel.has("MODULE_SIG_FORCE") or enforced(kernel.cmdline):
        return "EKEYREJECTED"
    if locked_down(kernel.cmdline) and kernel.has("SECURITY_LOCKDOWN_LSM") is not False:
        return "EPERM"
    return None


def _unsigned(ko: KoFile, kernel: KernelFacts) -> Iterator[Finding]:
    """The trailer of a signature that can't be read, or none."""
    flaw, errno = (ko.signature.flaw, ko.signature.errno) if ko.signature else (None, None)
    if errno not in (None, "ENOPKG"):
        message = f"its signature can't be read: {flaw}"
        yield Finding("KS417", "error", "signature", message, _SIGN_OR_BUILD, errno)
        return
    state = f"its signature can't be read ({flaw})" if flaw else "it is not signed"
    refusal = _refusal(kernel)
    if refusal:
        wants = "takes signed modules only" if refusal == "EKEYREJECTED" else "is locked down"
        yield Finding("KS441", "error", "signature", f"{state}, and the kernel {wants}", _SIGN, refusal)
    elif flaw:
        yield Finding("KS417", "warn", "signature", state, _SIGN_OR_BUILD)


def _seems_own(check: SignatureCheck) -> bool:
    return check.certificate is None or bool(check.in_kernel)


def _tampered(ko: KoFile, kernel: KernelFacts) -> Finding | None:
    """A signature of the kernel's own module on other content: fatal even where none is asked for."""
    own = own_copy(ko, kernel)
    if own is None or own.signature is None or ko.signature is None or own.digest == ko.digest:
        return None
    if own.signature.digest == ko.signature.digest:
        message = f"it is {kernel.name}'s own module, changed after it was signed"
        fix = "take the signature off: strip -g"
        return Finding("KS445", "error", "signature", message, fix, "EKEYREJECTED")
    if _signed_bytes(own) != _signed_bytes(ko):
        return None  # another's module, and another's key
    message = f"it is {kernel.name}'s own module with another signature"
    fix = "take the kernel's own file, or the signature off: strip -g"
    return Finding("KS445", "warn", "signature", message, fix, UNSURE)


def _signed_bytes(ko: KoFile) -> bytes:
    raw = content.read_content(ko.path)[0]
    return raw[: signature.find_signature(raw)[1]]


def _signed(check: SignatureCheck, kernel: KernelFacts) -> Iterator[Finding]:
    """A signature whose trailer the kernel can read."""
    if check.signer is None:
        message = f"its signature can't be read: {check.flaw}"
        yield Finding("KS417", "error", "signature", message, _SIGN, UNSURE)
        return
    if check.valid is False:
        who = check.certificate.name if check.certificate else "nobody"
        message = f"it was changed after it was signed with the key of {who!r}"
        # Refused also where no signature is asked for, by a kernel that has the key.
        errno = "EKEYREJECTED" if check.in_kernel else None
        yield Finding("KS447", "error", "signature", message, _SIGN, errno)
        if check.in_kernel:
            return
    yield from _unsupported(check, kernel) or _untrusted(check, kernel)


def _unsupported(check: SignatureCheck, kernel: KernelFacts) -> list[Finding]:
    """A signature that the kernel's cryptography can't verify."""
    signer, owner, refusal = check.signer, check.certificate, _refusal(kernel)
    assert signer is not None
    # openssl calls a signature of an RSA-PSS key a plain one; the kernel has no use for that certificate.
    key = signer.key if owner is None or owner.key == signer.key else "other"
    lacks = missing_crypto(key, owner.curve if owner else None, signer.hash, kernel)
    if lacks is None:
        return []
    message, known, fix = lacks
    kinds = (signer.key, owner.key if owner else None)
    # A guest loads no module by itself, as a machine with modprobe may.
    certain = known or (check.in_kernel is not None and "other" not in kinds)
    errno = refusal if certain or refusal is None else UNSURE
    level: Level = "error" if errno and errno != UNSURE else "warn"
    return [Finding("KS449", level, "signature", message, fix, errno)]


def _untrusted(check: SignatureCheck, kernel: KernelFacts) -> list[Finding]:
    """A signature with a key that the kernel does not have, or may not have."""
    assert check.signer is not None
    refusal = _refusal(kernel)
    if check.in_kernel:
        if check.valid is None and refusal:
            message = "whether its signature is right can't be told"
            fix = "sudo apt-get install --no-install-recommends openssl"
            return [Finding("KS441", "info", "signature", message, fix, UNSURE)]
        return []
    who = repr(check.signer.name) if check.signer.name else f"key {check.signer.shown}"
    if check.in_kernel is None:
        if refusal is None:
            return []
        message = f"it is signed by {who}; whether the kernel knows the key can't be seen from outside"
        return [Finding("KS441", "info", "signature", message, None, UNSURE)]
    message = f"it is signed by {who}, whose key {kernel.name} does not have"
    if refusal is None:
        return [Finding("KS448", "info", "signature", f"{message}: it is tainted by the load (E)")]
    return [Finding("KS448", "error", "signature", message, "kscaffold sign, or --cert FILE", refusal)]


def missing_crypto(
    key: str, curve: str | None, hash: str, kernel: KernelFacts
) -> tuple[str, bool, str] | None:
    """What the kernel's cryptography lacks for signatures with a kind of key, its curve, and a hash: a
    sentence, whether that is certain, and what to do. None where it lacks nothing that is known.
    """
    if not kernel.config.known:
        return None
    if key == "other":
        return (f"{kernel.name} may not know signatures of its kind", False, _TAKE_RSA)
    option = {"rsa": "CRYPTO_RSA", "ec": "CRYPTO_ECDSA"}[key]
    named = {"rsa": "RSA", "ec": f"ECDSA {curve}" if curve else "ECDSA"}[key]
    if kernel.has(option) is False:
        return _without(kernel, option, named, _TAKE_RSA)
    if key == "ec" and curve not in (None, "P-256", "P-384", "P-521"):
        return (f"{kernel.name} does not know the curve {curve}", True, _TAKE_RSA)
    option = HASH_OPTIONS.get(hash, "")
    begin = option.removeprefix("CRYPTO_").lower()
    if option and any(name.startswith(begin) for name in kernel.loaded or ()):
        return None  # sha512_generic, sha3_generic and the like
    # What the kernel's own modules are signed with it has, whatever its options are called.
    own_hash = kernel.config.value("MODULE_SIG_HASH")
    if not option or (kernel.has(option) is False and own_hash != hash):
        return _without(kernel, option, hash, "kscaffold sign --hash sha256")
    return None


def _without(kernel: KernelFacts, option: str, what: str, fix: str) -> tuple[str, bool, str]:
    if option and kernel.config.value(option) == "m":
        return (f"{kernel.name} has {what} in a module that must be loaded before", False, fix)
    return (f"{kernel.name} can't verify {what} signatures", True, fix)
