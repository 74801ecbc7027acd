"""The signature behind a module, as the kernel's mod_check_sig() reads it (kernel/module_signature.c)."""

import hashlib
import struct

from kscaffold.module.facts import Signature

MARKER = b"~Module signature appended~\n"
# struct module_signature: algo, hash, id_type, signer_len, key_id_len, 3 bytes of padding, be32 sig_len.
_TRAILER = struct.Struct(">5B3sI")
_PKCS7 = 2


def find(content: bytes) -> tuple[Signature | None, int]:
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
    return Signature(length, hashlib.blake2b(message, digest_size=16).hexdigest()), start - length
