"""Sign a .ko, as the kernel's scripts/sign-file does: a PKCS#7 message behind its bytes."""

import os
from pathlib import Path

from kscaffold import process
from kscaffold.elf import content, kofile, signature
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.files.atomic import sweep_beside, write_whole
from kscaffold.files.identity import identify_if_there
from kscaffold.files.temporary import temporary_directory
from kscaffold.pkcs7 import certificate, der, keyring
from kscaffold.pkcs7.certificate import Certificate, Signer
from kscaffold.pkcs7.der import DerError
from kscaffold.records import dataclass
from kscaffold.signing.key import PIN, Key, last_line, locked

HASHES = ("sha256", "sha384", "sha512", "sha224", "sha1", "sha3-256", "sha3-384", "sha3-512")
_TIMEOUT = 60.0  # s
_UNPACK = {"xz": "unxz", "gzip": "gunzip", "zstd": "unzstd"}


@dataclass(frozen=True, slots=True)
class SignReport:
    """A module that was signed. `path`: where it was read, `out`: where it was written. `replaced`: the
    signature that it had, None for none.
    """

    module: str
    path: Path
    out: Path
    certificate: Certificate
    hash: str
    replaced: Signer | None


def sign_module(ko: Path, key: Key, *, hash: str = "sha256", out: Path | None = None) -> SignReport:
    """Sign `ko`, in its place or as `out`; the file appears whole. A signature that it has is replaced.

    Raises UsageError KS080 for what can't be signed and KS092 for an `out` that is no plain file,
    KscaffoldError KS083 and KS085 where openssl can't sign with this key, and what reading a module raises.
    The certificate is remembered: sandboxes can trust it.
    """
    before = identify_if_there(ko)
    raw, compression = content.read_content(ko)
    if compression:
        raise UsageError(
            "KS080",
            f"{ko} is compressed",
            cause="a kernel unpacks a module first, and looks for the signature then",
            fix=f"{_UNPACK[compression]} {ko}, sign that, compress it again",
        )
    bare, replaced = _bare(raw, ko)
    module = kofile.parse_ko(bare, ko).name
    message = _message(bare, key, hash)
    made = certificate.signer(message)
    if not made.is_by(key.certificate) or made.attributes:
        what = "openssl made another signature than was asked for"
        raise KscaffoldError("KS085", what, fix="openssl version")
    keyring.remember(key.certificate)
    target = reader.replaceable(out) if out is not None else ko.resolve()
    if identify_if_there(ko) != before:
        raise KscaffoldError("KS087", f"{ko} changed while it was being signed", fix=f"kscaffold sign {ko}")
    sweep_beside(target)
    write_whole(target, signature.appended(bare, message), ko.stat().st_mode & 0o777, sync=True)
    return SignReport(module, ko, out or ko, key.certificate, made.hash, replaced)


def _bare(raw: bytes, ko: Path) -> tuple[bytes, Signer | None]:
    """The module without its signatures, and who made the last one."""
    replaced = None
    while True:
        found, seen = signature.find_signature(raw)
        if found is None:
            return raw, replaced
        if found.flaw:
            raise UsageError(
                "KS080",
                f"{ko} ends with a signature that can't be read",
                cause=found.flaw,
                fix="kscaffold clean && kscaffold build, then sign it",
            )
        if replaced is None:
            try:
                replaced = certificate.signer(signature.message(raw))
            except DerError:
                replaced = Signer(b"", 0, "", "", "", "other", b"", False)
        raw = raw[:seen]


def _message(bare: bytes, key: Key, hash: str) -> bytes:
    openssl = process.need("openssl")
    secret = reader.read_bytes(key.file)
    with temporary_directory() as place:
        (place / "module").write_bytes(bare)
        (place / "certificate").write_bytes(der.to_pem(key.certificate.raw, "CERTIFICATE"))
        # The flags of sign-file: no certificates, no signed attributes; the content stays outside.
        argv = [openssl, "cms", "-sign", "-binary", "-nocerts", "-noattr", "-nosmimecap", "-md", hash]
        argv += ["-signer", str(place / "certificate"), "-inkey", str(key.file.absolute())]
        argv += ["-keyform", "PEM" if b"-----BEGIN" in secret else "DER"]
        argv += ["-in", str(place / "module"), "-outform", "DER", "-out", str(place / "message")]
        # Said in any case: openssl would ask the terminal for the password of an encrypted PKCS#12.
        argv += ["-passin", f"env:{PIN}" if PIN in os.environ else "pass:"]
        done = process.run(argv, timeout=_TIMEOUT)
        if done.returncode:
            raise _refused(done.stderr, key, hash)
        return reader.read_bytes(place / "message")


def _refused(said: str, key: Key, hash: str) -> KscaffoldError:
    if "key values mismatch" in said or "does not match" in said:
        return UsageError(
            "KS085",
            f"{key.file} is not the key of {key.file_of_certificate}",
            cause=f"the certificate of {key.certificate.name or 'nobody'} has another public key",
            fix="give --cert the certificate that was made with this key",
        )
    if any(
        word in said for word in ("bad decrypt", "maybe wrong password", "mac verify failure", "pkcs12 mac")
    ):
        return locked(key.file)
    if key.certificate.key == "other":
        return UsageError(
            "KS085",
            f"openssl makes no signature for a module with {key.file}",
            cause="it is neither an RSA key nor one of an elliptic curve that kernels know",
            fix="sign with an RSA key: kscaffold sign makes one",
        )
    cause = last_line("\n".join(line for line in said.splitlines() if not line.startswith("Usage")))
    return KscaffoldError("KS085", f"openssl can't sign with {key.file} and {hash}", cause=cause)
