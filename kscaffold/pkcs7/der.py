"""DER and PEM, as far as certificates and PKCS#7 messages need them (X.690; RFC 7468)."""

import base64
import binascii
import re
from collections.abc import Iterator

from kscaffold import lazy
from kscaffold.records import dataclass

SEQUENCE, SET, INTEGER, BIT_STRING, OCTETS, OID = 0x30, 0x31, 0x02, 0x03, 0x04, 0x06
_PEM = lazy.pattern(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.S)


class DerError(ValueError):
    """The bytes are not what they should be; the text is a phrase."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value. `raw`: with its tag and length."""

    tag: int
    body: bytes
    raw: bytes

    def parts(self) -> list["Value"]:
        """The values in a sequence or set."""
        return list(values(self.body))

    def number(self) -> int:
        """An integer."""
        return int.from_bytes(self.body, "big", signed=True)

    def oid(self) -> str:
        """An object identifier, dotted."""
        if not self.body or self.tag != OID:
            raise DerError("an object identifier is missing")
        numbers, value = [self.body[0] // 40, self.body[0] % 40], 0
        for byte in self.body[1:]:
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                numbers.append(value)
                value = 0
        return ".".join(map(str, numbers))


def size(data: bytes, at: int = 0) -> int:
    """The bytes that the value at `at` takes, its head included; it may lie beyond the end."""
    return _head(data, at)[1]


def values(data: bytes) -> Iterator[Value]:
    """The values one behind another. Raises DerError for what is cut."""
    at = 0
    while at < len(data):
        head, whole = _head(data, at)
        if at + whole > len(data):
            raise DerError("it ends too early")
        yield Value(data[at], data[at + head : at + whole], data[at : at + whole])
        at += whole


def only(data: bytes) -> Value:
    """The one value that `data` is."""
    found = list(values(data))
    if len(found) != 1:
        raise DerError("it is more than one value" if found else "it is empty")
    return found[0]


def from_pem(data: bytes, label: str) -> bytes | None:
    """The bytes of the first block of this label, None where there is none."""
    for found in _PEM.finditer(data):
        if found[1].decode() == label:
            try:
                return base64.b64decode(b"".join(found[2].split()), validate=True)
            except binascii.Error:
                raise DerError("its base64 text is damaged") from None
    return None


def to_pem(data: bytes, label: str) -> bytes:
    """The bytes as a block of text."""
    lines = base64.encodebytes(data).decode().replace("\n", "")
    folded = "\n".join(lines[i : i + 64] for i in range(0, len(lines), 64))
    return f"-----BEGIN {label}-----\n{folded}\n-----END {label}-----\n".encode()


def _head(data: bytes, at: int) -> tuple[int, int]:
    """Bytes of tag and length, and of all."""
    if at + 2 > len(data):
        raise DerError("it ends too early")
    first = data[at + 1]
    if first < 0x80:
        return 2, 2 + first
    more = first & 0x7F
    if not 1 <= more <= 4 or at + 2 + more > len(data):
        raise DerError("a length in it makes no sense")
    return 2 + more, 2 + more + int.from_bytes(data[at + 2 : at + 2 + more], "big")
