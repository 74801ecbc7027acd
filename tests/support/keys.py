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


_AUTHORITY = """
[ca]
default_ca = own
[own]
database = {place}/expired.index
new_certs_dir = {place}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def expired(place: Path) -> tuple[Path, Path]:
    """A certificate of version 1 that was good for a day of 2020."""
    key, cert, asked = place / "expired.key", place / "expired.pem", place / "asked"
    openssl("req", "-new", "-nodes", "-batch", "-subj", "/CN=expired", "-newkey", "rsa:2048", "-keyout", key,
            "-out", asked)  # fmt: skip
    # `x509` has no dates of its own before OpenSSL 3.4, and no negative days from then on.
    settings = place / "expired.cnf"
    settings.write_text(_AUTHORITY.format(place=place))
    (place / "expired.index").touch()
    openssl("ca", "-batch", "-notext", "-selfsign", "-config", settings, "-keyfile", key, "-in", asked,
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-out", cert)  # fmt: skip
    key.chmod(0o600)
    return key, cert
