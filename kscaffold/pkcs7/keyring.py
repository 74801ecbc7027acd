"""The certificates of keys that modules here were signed with: a sandbox can be made to trust them."""

import os
import shlex
from pathlib import Path

from kscaffold.errors import UsageError, refuse_roots
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.pkcs7 import certificate
from kscaffold.pkcs7.certificate import Certificate, Signer
from kscaffold.pkcs7.der import DerError

_LARGEST = 1 << 20  # bytes of a file with a certificate


def known_certificates() -> list[Certificate]:
    """The keys of the keyring, the last used first. A file that can't be read is passed over."""
    found = []
    files = list(paths.certificates().glob("*.der")) if paths.certificates().is_dir() else []
    for file in sorted(files, key=lambda f: -f.stat().st_mtime_ns):
        try:
            found.append(certificate.read_certificate(reader.read_bytes(file)))
        except (OSError, DerError):
            continue
    return found


def remember(one: Certificate) -> None:
    """Keep a certificate, or note that it was used again."""
    file = paths.certificates() / f"{one.digest[:32]}.der"
    if file.exists():
        os.utime(file)
        return
    paths.make_own(file.parent)
    write_whole(file, one.raw)


def recent(most: int) -> tuple[bytes, ...]:
    """The certificates used last, as many as fit into `most` bytes; DER, sorted."""
    found: list[bytes] = []
    for one in known_certificates():
        # A kernel reads no shorter ones in its list than those whose length takes two bytes.
        if one.raw[1] == 0x82 and sum(map(len, found)) + len(one.raw) <= most:
            found.append(one.raw)
    return tuple(sorted(found))


def read_keyring(file: Path) -> Certificate:
    """The certificate in a file, PEM or DER. Raises UsageError KS082 where there is none."""
    try:
        return certificate.read_certificate(reader.read_bytes(file, _LARGEST))
    except FileNotFoundError as error:
        from kscaffold.files.near import near  # start-up time: only after a typing error

        meant = near(file, directory=False)
        fix = f"name {shlex.quote(str(meant))}" if meant else "name the file of a certificate, PEM or DER"
        raise UsageError("KS082", f"{file} can't be read", cause=error.strerror, fix=fix) from None
    except OSError as error:
        refuse_roots(error, file)
        cause = error.strerror
    except DerError as error:
        cause = str(error)
    fix = f"openssl x509 -in {file} -noout -subject shows what openssl makes of it"
    raise UsageError("KS082", f"{file} is no certificate that can be read", cause=cause, fix=fix)


def owner(signer: Signer, among: list[Certificate]) -> Certificate | None:
    """The certificate of a signer's key."""
    return next((one for one in among if signer.is_by(one)), None)
