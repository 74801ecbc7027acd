"""The signature behind a module, as the kernel's mod_check_sig() reads it (kernel/module_signature.c)."""

import hashlib
import struct

from kscaffold.elf.model import Signature
from kscaffold.elf.quick import SIGNED as MARKER

# struct module_signature: algo, hash, id_type, signer_len, key_id_len, 3 bytes of padding, be32 sig_len.
_TRAILER = struct.Struct(">5B3sI")
_PKCS7 = 2
# The object identifier 1.2.840.113549.1.7.2.
_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"


def find_signature(content: bytes) -> tuple[Signature | None, int]:
    """The signature (None where there is none) and the length in bytes of what the loader sees.

    The loader cuts the marker off, and the rest of a trailer it can read.
    """
    if len(content) <= len(MARKER) or not content.endswith(MARKER):
        return None, len(content)
    end = len(content) - len(MARKER)
    start = end - _TRAILER.size
    if start <= 0:
        return Signature(0, "", "the file is shorter than a signature's trailer", "EBADMSG"), end
    algo, digest, id_type, signer, key, padding, length = _TRAILER.unpack_from(content, start)
    if length >= start:
        return Signature(0, "", f"its length is said to be {length} bytes", "EBADMSG"), end
    if id_type != _PKCS7:
        # Counts as unsupported, not as broken: only enforcement refuses it.
        return Signature(0, "", f"its type is {id_type}, not PKCS#7 (2)", "ENOPKG"), end
    if algo or digest or signer or key or any(padding):
        return Signature(0, "", "its trailer has fields that must be zero and are not", "EBADMSG"), end
    message = content[start - length : start]
    wrong = _refused(message)
    if wrong is not None:
        return Signature(length, "", "its message is not PKCS#7", wrong), start - length
    return Signature(length, hashlib.blake2b(message, digest_size=16).hexdigest()), start - length


def message(content: bytes) -> bytes:
    """The PKCS#7 message of a signature that can be read, else nothing."""
    found, seen = find_signature(content)
    if found is None or found.flaw:
        return b""
    return content[seen : seen + found.length]


def appended(content: bytes, message: bytes) -> bytes:
    """A module with a PKCS#7 message as its signature, as scripts/sign-file appends it."""
    return content + message + _TRAILER.pack(0, 0, _PKCS7, 0, 0, bytes(3), len(message)) + MARKER


def _refused(message: bytes) -> str | None:
    """The errno for a message that does not begin as pkcs7_parse_message() needs it: a sequence of its own
    length, of the type signedData. What is inside is for the kernel's cryptography.
    """
    if len(message) < 2 or message[0] != 0x30:
        return "EBADMSG"
    # DER: a length below 128 is itself, else the number of bytes that hold it.
    more = message[1] & 0x7F if message[1] & 0x80 else 0
    length = int.from_bytes(message[2 : 2 + more]) if more else message[1]
    if 2 + more + length != len(message):
        return "EBADMSG"
    if message.startswith(_SIGNED_DATA, 2 + more):
        return None
    # It reads any identifier that fits, and says that this is none it knows.
    at = 2 + more
    fits = len(message) > at + 1 and message[at] == 6 and at + 2 + message[at + 1] <= len(message)
    return "EINVAL" if fits and message[at + 1] < 0x80 else "EBADMSG"
