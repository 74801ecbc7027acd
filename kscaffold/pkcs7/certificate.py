"""What an X.509 certificate says, as the kernel's asymmetric keys see it
(crypto/asymmetric_keys/x509_cert_parser.c), and what a module's PKCS#7 signature says of who made it.
"""

import hashlib
from typing import Literal

from kscaffold.pkcs7 import der
from kscaffold.pkcs7.der import DerError, Value
from kscaffold.records import dataclass

KeyType = Literal["rsa", "ec", "other"]

_COMMON_NAME, _ORGANISATION, _EMAIL = "2.5.4.3", "2.5.4.10", "1.2.840.113549.1.9.1"
_KEY_ID = "2.5.29.14"
_KEYS: dict[str, KeyType] = {"1.2.840.113549.1.1.1": "rsa", "1.2.840.10045.2.1": "ec"}
CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521"}
HASHES = {
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.8": "sha3-256",
    "2.16.840.1.101.3.4.2.9": "sha3-384",
    "2.16.840.1.101.3.4.2.10": "sha3-512",
}
# signatureAlgorithm of a SignerInfo; another field names the hash.
_ALGORITHMS: dict[str, KeyType] = {
    "1.2.840.113549.1.1.1": "rsa",
    **{f"1.2.840.113549.1.1.{n}": "rsa" for n in (4, 5, 11, 12, 13, 14)},
    "1.2.840.10045.2.1": "ec",
    "1.2.840.10045.4.1": "ec",
    **{f"1.2.840.10045.4.3.{n}": "ec" for n in (1, 2, 3, 4)},
    **{f"2.16.840.1.101.3.4.3.{n}": "ec" for n in (10, 11, 12)},
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate. `raw`: its DER; `issuer`: the DER of its issuer's name; `public`: the DER of its public
    key. `name`: the subject's common name. `bits` of the key, `curve` where it has one. `key_id`: its
    subject key identifier, "" for none.
    """

    raw: bytes
    serial: int
    issuer: bytes
    name: str
    key_id: str
    key: KeyType
    bits: int
    curve: str | None
    public: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the whole certificate, which identifies it."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def key_name(self) -> str:
        """The kind of the signer's key, for people."""
        return {"rsa": f"RSA {self.bits}", "ec": f"ECDSA {self.curve}", "other": "unknown"}[self.key]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who made a signature, and how. Either `issuer` (DER) and `serial`, or `key_id` names the key.
    `name`: the issuer's common name. `attributes`: the signature is over these, not over the content.
    """

    issuer: bytes
    serial: int
    key_id: str
    name: str
    hash: str
    key: KeyType
    value: bytes
    attributes: bool

    def is_by(self, certificate: Certificate) -> bool:
        """Whether this certificate's key is the one that is named."""
        if self.key_id:
            return self.key_id == certificate.key_id
        return (self.issuer, self.serial) == (certificate.issuer, certificate.serial)

    @property
    def shown(self) -> str:
        """The key's identifier, as modinfo shows it."""
        return self.key_id or spaced(self.serial)


def spaced(serial: int) -> str:
    """A serial number as openssl and modinfo show it: pairs of hexadecimal digits with colons."""
    text = f"{abs(serial):x}"
    text = text.zfill(len(text) + len(text) % 2)
    return ":".join(text[i : i + 2] for i in range(0, len(text), 2)).upper()


def read_certificate(data: bytes) -> Certificate:
    """A certificate in DER or PEM. Raises DerError with the reason for what is none."""
    raw = der.from_pem(data, "CERTIFICATE") or data
    try:
        return _read(raw)
    except (IndexError, ValueError) as error:
        raise DerError(str(error) if isinstance(error, DerError) else "it is no X.509 certificate") from None


def _read(raw: bytes) -> Certificate:
    body = der.only(raw).parts()[0].parts()
    if body[0].tag == 0xA0:  # its version; a certificate of version 1 does not have the field
        body = body[1:]
    serial, issuer, subject, public = body[0], body[2], body[4], body[5]
    if [serial.tag, issuer.tag, subject.tag] != [der.INTEGER, der.SEQUENCE, der.SEQUENCE]:
        raise DerError("it is no X.509 certificate")
    algorithm, bits = public.parts()
    kind = algorithm.parts()
    key = _KEYS.get(kind[0].oid(), "other")
    curve = CURVES.get(kind[1].oid(), kind[1].oid()) if key == "ec" else None
    # An RSA key is a sequence of modulus and exponent; a point of a curve has twice its size, and a byte.
    number = der.only(bits.body[1:]).parts()[0].number().bit_length() if key == "rsa" else 0
    return Certificate(
        raw=raw,
        serial=serial.number(),
        issuer=issuer.raw,
        name=_name(subject),
        key_id=_key_id(body[6:]),
        key=key,
        bits=number or (len(bits.body) - 2) * 4,
        curve=curve,
        public=public.raw,
    )


def signer(message: bytes) -> Signer:
    """The one signer of a module's PKCS#7 message. Raises DerError for what is none, or has several."""
    try:
        content = der.only(message).parts()[1]
        infos = der.only(content.body).parts()[-1].parts()
        if len(infos) != 1:
            raise DerError(f"it has {len(infos)} signers")
        return _signer(infos[0].parts())
    except (IndexError, ValueError) as error:
        raise DerError(str(error) if isinstance(error, DerError) else "it is no PKCS#7 message") from None


def _signer(parts: list[Value]) -> Signer:
    who, digest = parts[1], parts[2].parts()[0].oid()
    attributes = parts[3].tag == 0xA0
    algorithm, value = parts[4:6] if attributes else parts[3:5]
    issuer, serial, key_id = b"", 0, ""
    if who.tag == der.SEQUENCE:
        issuer, serial = who.parts()[0].raw, who.parts()[1].number()
    else:  # [0], a subject key identifier
        key_id = _hex(who.body)
    return Signer(
        issuer=issuer,
        serial=serial,
        key_id=key_id,
        name=_name(who.parts()[0]) if issuer else "",
        hash=HASHES.get(digest, digest),
        key=_ALGORITHMS.get(algorithm.parts()[0].oid(), "other"),
        value=value.body,
        attributes=attributes,
    )


def _name(name: Value) -> str:
    """What people call the owner: common name, else organisation, else mail address."""
    texts = {}
    for group in name.parts():
        for pair in group.parts():
            kind, text = pair.parts()
            texts[kind.oid()] = text.body.decode("utf-16-be" if text.tag == 0x1E else "utf-8", "replace")
    return next((texts[kind] for kind in (_COMMON_NAME, _ORGANISATION, _EMAIL) if kind in texts), "")


def _key_id(rest: list[Value]) -> str:
    for part in rest:
        if part.tag == 0xA3:
            for extension in der.only(part.body).parts():
                fields = extension.parts()
                if fields[0].oid() == _KEY_ID:
                    return _hex(der.only(fields[-1].body).body)
    return ""


def _hex(data: bytes) -> str:
    return ":".join(f"{byte:02X}" for byte in data)
