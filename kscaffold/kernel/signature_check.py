"""Whose signature a module has, whether it is right, and whether a kernel has its key.

Source: pkcs7_validate_trust() and pkcs7_verify() in crypto/asymmetric_keys. A kernel looks for the key
first: without it (ENOKEY) the content is never checked.
"""

from collections.abc import Sequence

from kscaffold import process
from kscaffold.elf import content, signature
from kscaffold.elf.model import KoFile
from kscaffold.files.temporary import temporary_directory
from kscaffold.kernel import trusted_image
from kscaffold.kernel.kernel import Kernel
from kscaffold.pkcs7 import certificate, der, keyring
from kscaffold.pkcs7.certificate import Certificate, Signer
from kscaffold.pkcs7.der import DerError
from kscaffold.records import dataclass

_TIMEOUT = 20.0  # s
# Each hash that a module may be signed with, and the option it comes with (crypto/Kconfig).
HASH_OPTIONS = {
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
class SignatureCheck:
    """A signature that was checked. `signer` is None where its message can't be read, for the reason
    `flaw`. `certificate`: of its key, None where nobody here knows it. `valid`: over the module's bytes,
    None where nothing shows it. `in_kernel`: the kernel has that key; None where its keys are not known.
    """

    signer: Signer | None
    flaw: str | None
    certificate: Certificate | None
    valid: bool | None
    in_kernel: bool | None


def check_signature(
    ko: KoFile,
    kernel: Kernel | None,
    trusted: Sequence[bytes] = (),
    given: Sequence[Certificate] = (),
    verify: bool = True,
) -> SignatureCheck | None:
    """Check the signature of a .ko; None where it has none that a kernel would read.

    `trusted`: certificates (DER) that the kernel will be given besides its own. `given`: certificates to
    know besides those that are remembered. `verify`: hold the signature against the module's bytes.
    """
    if not ko.signed:
        return None
    raw, _ = content.read_content(ko.path)
    try:
        signer = certificate.signer(signature.message(raw))
    except DerError as error:
        return SignatureCheck(None, str(error), None, None, None)
    own = _own(kernel)
    kernels = _read([*(own or ()), *trusted])
    owner = keyring.owner(signer, kernels)
    in_kernel = True if owner else None if own is None else False
    owner = owner or keyring.owner(signer, [*given, *keyring.known_certificates()])
    valid = _valid(signer, owner, raw[: signature.find_signature(raw)[1]]) if owner and verify else None
    return SignatureCheck(signer, None, owner, valid, in_kernel)


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
    if openssl is None or signer.attributes or signer.hash not in HASH_OPTIONS:
        return None
    with temporary_directory() as place:
        (place / "public").write_bytes(der.to_pem(owner.public, "PUBLIC KEY"))
        (place / "value").write_bytes(signer.value)
        argv = [openssl, "dgst", f"-{signer.hash}", "-verify", str(place / "public")]
        done = process.run([*argv, "-signature", str(place / "value")], timeout=_TIMEOUT, stdin=module)
    if "Verified OK" in done.stdout:
        return True
    return False if done.returncode == 1 else None
