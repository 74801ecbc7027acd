"""The key that modules are signed with: one that is given, or the one made here on its first use."""

import contextlib
import errno
import os
import shlex
import shutil
import stat
import tempfile
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError, UsageError, refuse_roots
from kscaffold.files import paths, reader
from kscaffold.files.sweep import sweep_dead
from kscaffold.pkcs7 import certificate, der, keyring
from kscaffold.pkcs7.certificate import Certificate
from kscaffold.pkcs7.der import DerError
from kscaffold.progress import Progress
from kscaffold.records import dataclass

_TIMEOUT = 60.0  # s
_MAKING = ".making-"
# The environment variable with the password of an encrypted key; the kernel's sign-file takes the same.
PIN = "KBUILD_SIGN_PIN"
# 2048 bits: the largest that every shim's MokManager enrols. Its certificate names no CA and no other use,
# as the one of certs/default_x509.genkey in the kernel's sources.
_REQUEST = """\
[ req ]
distinguished_name = name
prompt = no
string_mask = utf8only
x509_extensions = extensions
[ name ]
CN = {name}
[ extensions ]
basicConstraints = critical,CA:FALSE
keyUsage = digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_NAME = "kscaffold module signing key"


@dataclass(frozen=True, slots=True)
class Key:
    """A private key's file and its certificate. `file_of_certificate`: for `mokutil --import`, DER where it
    is our own. `made`: just now.
    """

    file: Path
    certificate: Certificate
    file_of_certificate: Path
    made: bool = False

    @property
    def readable_by_others(self) -> bool:
        """More than its owner can read it, so more than its owner can sign with it."""
        return bool(stat.S_IMODE(self.file.stat().st_mode) & 0o077)


def signing_dir() -> Path:
    """Where the key made here is: key.pem, certificate.pem and certificate.der."""
    return paths.data() / "signing"


def given(key: Path, cert: Path | None) -> Key:
    """A key of the user's own. Without `cert` its certificate is in the same file, as the kernel's
    signing_key.pem has it.

    Raises UsageError KS081 for what is no file of a key, KS082 where there is no certificate.
    """
    if str(key).startswith("pkcs11:"):
        what = "a key in a PKCS#11 token can't be used"
        raise UsageError("KS081", what, fix="sign with the kernel's scripts/sign-file, which can")
    try:
        data = reader.read_bytes(key)
    except OSError as error:
        refuse_roots(error, key)
        raise UsageError(
            "KS081", f"{key} can't be read", cause=error.strerror, fix=_other_key(key, error)
        ) from None
    if b"PRIVATE KEY-----" not in data and data[:1] != b"\x30":
        cause = "it holds no private key, neither PEM nor DER"
        raise UsageError("KS081", f"{key} is no key", cause=cause, fix="name the file of the private key")
    if is_encrypted(data) and PIN not in os.environ:
        raise locked(key)
    if cert is None and b"BEGIN CERTIFICATE" not in data:
        raise UsageError("KS082", f"{key} comes without its certificate", fix=f"--key {key} --cert FILE")
    cert = cert or key
    return Key(key, keyring.read_keyring(cert), cert)


def _other_key(key: Path, error: OSError) -> str:
    """What to write for a key that can't be read."""
    from kscaffold.files.near import near  # start-up time: only after a typing error

    if error.errno != errno.ENOENT:
        return f"ls -l {key} shows whose it is; without --key kscaffold signs with a key of its own"
    meant = near(key, directory=False)
    if meant is not None:
        return f"--key {shlex.quote(str(meant))}"
    return "name the file of the private key; without --key kscaffold signs with a key of its own"


def locked(key: Path) -> UsageError:
    """The error for a key that the password given, or none, does not open."""
    fix = f"read -rs {PIN} && export {PIN}"
    if PIN in os.environ:
        return UsageError("KS083", f"{key} can't be opened with the password in {PIN}", fix=fix)
    cause = f"its password is taken from {PIN}, which is not set"
    return UsageError("KS083", f"{key} is encrypted", cause=cause, fix=fix)


def is_encrypted(data: bytes) -> bool:
    """Whether a PEM file says that its key is."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in data or b"Proc-Type: 4,ENCRYPTED" in data


def own(progress: Progress) -> Key:
    """The key made here, made now where there is none. Of two commands that make it, one wins for both.

    Raises KscaffoldError KS084 where what is there can't be used, OSError where nothing can be written.
    """
    if not signing_dir().exists():
        return _made(progress)
    return _there(False)


def _there(made: bool) -> Key:
    where = signing_dir()
    try:
        if not stat.S_ISREG((where / "key.pem").stat().st_mode):
            raise DerError("key.pem is no file")
        (where / "key.pem").open("rb").close()
        found = certificate.read_certificate(reader.read_bytes(where / "certificate.der"))
    except (OSError, DerError) as error:
        cause = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
        raise KscaffoldError(
            "KS084", f"the key in {where} can't be used", cause=cause, fix=f"mv {where} {where}.old"
        ) from None
    return Key(where / "key.pem", found, where / "certificate.der", made)


def _made(progress: Progress) -> Key:
    openssl = process.need("openssl")
    paths.make_own(signing_dir().parent)
    sweep_dead(signing_dir().parent, _MAKING)
    # Its name says whose it is, for the sweep; 0700, as mkdtemp makes it.
    making = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{os.getpid()}-", dir=signing_dir().parent))
    try:
        (making / "request").write_text(_REQUEST.format(name=_NAME))
        argv = [openssl, "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-batch", "-sha256"]
        # As long as the kernel's own: a kernel does not look at it, other tools do.
        argv += ["-days", "36500", "-config", "request", "-keyout", "key.pem", "-out", "certificate.pem"]
        done = process.run(argv, timeout=_TIMEOUT, cwd=making)
        (making / "request").unlink()
        if done.returncode:
            raise KscaffoldError("KS084", "openssl made no key", cause=last_line(done.stderr))
        (making / "key.pem").chmod(0o600)
        raw = der.from_pem(reader.read_bytes(making / "certificate.pem"), "CERTIFICATE")
        (making / "certificate.der").write_bytes(raw or b"")
        keyring.remember(certificate.read_certificate(raw or b""))
        # A directory that is there and not empty is not replaced: another command was first.
        with contextlib.suppress(OSError):
            making.rename(signing_dir())
            progress.step("Made", f"a key to sign with: {signing_dir()}")
            return _there(True)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return _there(False)


def last_line(text: str) -> str | None:
    """What a program said last, as a phrase."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else None
