"""Keys and certificates of all kinds, made with the real openssl."""

import subprocess
from pathlib import Path

from tests.conftest import need_program

KINDS = {
    "rsa": ["rsa:2048"],
    "rsa4096": ["rsa:4096"],
    "p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "pss": ["rsa-pss:2048"],
    "ed25519": ["ed25519"],
    "p384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
}


def openssl(*argv: str | Path) -> bytes:
    program = need_program("openssl", "openssl")
    done = subprocess.run([program, *argv], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def pair(place: Path, name: str, kind: str = "rsa", more: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """NAME.key and NAME.pem of a certificate that names itself, CN=NAME."""
    key, cert = place / f"{name}.key", place / f"{name}.pem"
    argv = ["req", "-new", "-x509", "-nodes", "-batch", "-sha256", "-subj", f"/CN={name}"]
    openssl(*argv, "-newkey", *KINDS[kind], *more, "-keyout", key, "-out", cert)
    key.chmod(0o600)
    return key, cert


def expired(place: Path) -> tuple[Path, Path]:
    """A certificate of version 1 that was good until yesterday."""
    key, cert, asked = place / "expired.key", place / "expired.pem", place / "asked"
    openssl("req", "-new", "-nodes", "-batch", "-subj", "/CN=expired", "-newkey", "rsa:2048", "-keyout", key,
            "-out", asked)  # fmt: skip
    openssl("x509", "-req", "-in", asked, "-signkey", key, "-days", "-1", "-out", cert)
    key.chmod(0o600)
    return key, cert
