"""`sign` and what `check` says of signatures, with the real openssl. Guests are in test_sign_sandbox.py."""

import lzma
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kscaffold.elf import signature
from kscaffold.pkcs7 import certificate, der
from kscaffold.pkcs7.der import DerError
from tests.conftest import ROOT, need_program
from tests.support.elf import Ko
from tests.support.keys import openssl, pair
from tests.support.modules import built
from tests.support.projects import HELLO
from tests.support.projects import write as write_project
from tests.support.worlds import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small kernel, and no other."""
    need_program("openssl", "openssl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    World().stored()


@pytest.fixture
def ko(tmp_path: Path, world: None) -> Path:
    path = tmp_path / "hello.ko"
    path.write_bytes(Ko().bytes())
    return path


def place(home: Path) -> Path:
    return home / ".local/share/kscaffold/signing"


def signer(ko: Path) -> certificate.Signer:
    return certificate.signer(signature.message(ko.read_bytes()))


def test_a_key_is_made_once_and_only_its_owner_reads_it(ks, ko: Path, own_world: Path):
    ran = ks("sign", ko, "--json")
    assert ran.status == 0 and ran.json["made"] is True
    home = place(own_world)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "key.pem").stat().st_mode) == 0o600
    assert sorted(p.name for p in home.iterdir()) == ["certificate.der", "certificate.pem", "key.pem"]
    assert [p.name for p in home.parent.iterdir() if p.name.startswith(".")] == []
    text = openssl("x509", "-inform", "DER", "-in", home / "certificate.der", "-noout", "-text").decode()
    assert "CA:FALSE" in text and "Digital Signature" in text and "2048 bit" in text
    first = signer(ko)
    ran = ks("sign", ko, "--json")
    assert ran.json["made"] is False and ran.json["modules"][0]["replaced"] is True
    assert (signer(ko).serial, signer(ko).issuer) == (first.serial, first.issuer)


def test_signed_twice_is_signed_once(ks, ko: Path):
    plain = ko.read_bytes()
    ko.chmod(0o640)
    ks("sign", ko)
    once = ko.read_bytes()
    assert once.startswith(plain) and signature.find_signature(once)[1] == len(plain)
    ran = ks("sign", ko)
    assert ko.read_bytes() == once
    assert "the signature it had is replaced" in ran.err
    assert stat.S_IMODE(ko.stat().st_mode) == 0o640
    assert [p.name for p in ko.parent.iterdir() if p.suffix == ".tmp"] == []


def test_openssl_agrees(ks, ko: Path, tmp_path: Path):
    """Held against a program that is not ours: detached, no certificate in it, over the bytes before."""
    plain = ko.read_bytes()
    key, cert = pair(tmp_path, "mine")
    assert ks("sign", ko, "--key", key, "--cert", cert).status == 0
    (tmp_path / "message").write_bytes(signature.message(ko.read_bytes()))
    (tmp_path / "plain").write_bytes(plain)
    argv = ["cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "message", "-noverify"]
    openssl(*argv, "-certfile", cert, "-nointern", "-content", tmp_path / "plain", "-out", os.devnull)
    shown = openssl("cms", "-cmsout", "-print", "-inform", "DER", "-in", tmp_path / "message").decode()
    assert "eContent: <ABSENT>" in shown and "certificates:\n      <ABSENT>" in shown
    assert "signedAttrs:\n          <ABSENT>" in shown


@pytest.mark.kernel
@pytest.mark.parametrize("kind", ["rsa", "rsa4096", "p384"])
def test_as_the_kernels_own_sign_file(ks, kernel, tmp_path: Path, kind: str):
    own = kernel("6.1")
    (program,) = own.build.parent.parent.glob("../usr/lib/linux-kbuild-6.1/scripts/sign-file")
    ko, theirs = tmp_path / "hello.ko", tmp_path / "theirs.ko"
    shutil.copy(built(own) / "hello.ko", ko)
    key, cert = pair(tmp_path, "mine", kind)
    subprocess.run([program, "sha256", key, cert, ko, theirs], check=True, capture_output=True)
    assert ks("sign", ko, "--key", key, "--cert", cert).status == 0
    if kind.startswith("rsa"):  # which has one signature only for each content
        assert ko.read_bytes() == theirs.read_bytes()
        return
    ours, other = (der.only(signature.message(p.read_bytes())) for p in (ko, theirs))
    assert shape(ours) == shape(other)


def shape(value: der.Value) -> object:
    """The tags and bytes of a message, but for the value of an ECDSA signature, which is random."""
    if not value.tag & 0x20:
        return (value.tag, value.body if value.tag != der.OCTETS else None)
    return (value.tag, [shape(part) for part in value.parts()])


@pytest.mark.kernel
def test_modinfo_shows_it(ks, kernel, tmp_path: Path):
    modinfo = need_program("modinfo", "kmod")
    ko = tmp_path / "hello.ko"
    shutil.copy(built(kernel("6.1")) / "hello.ko", ko)
    key, cert = pair(tmp_path, "somebody")
    assert ks("sign", ko, "--key", key, "--cert", cert, "--hash", "sha384").status == 0
    shown = subprocess.run([modinfo, ko], capture_output=True, text=True, check=True).stdout
    serial = certificate.spaced(certificate.read_certificate(cert.read_bytes()).serial)
    told = dict(line.split(":", 1) for line in shown.splitlines() if line[:1] != "\t" and ":" in line)
    told = {key: value.strip() for key, value in told.items()}
    assert (told["signer"], told["sig_key"], told["sig_hashalgo"]) == ("somebody", serial, "sha384")
    checked = ks("check", ko, "--json").json["signature"]
    assert (checked["signer"], checked["serial"], checked["hash"]) == ("somebody", serial, "sha384")


def test_out_leaves_the_module_alone(ks, ko: Path, tmp_path: Path):
    plain = ko.read_bytes()
    ran = ks("sign", ko, "--out", tmp_path / "signed.ko", "--json")
    assert ran.status == 0 and ran.json["modules"][0]["out"] == str(tmp_path / "signed.ko")
    assert ko.read_bytes() == plain and signer(tmp_path / "signed.ko")
    (tmp_path / "b.ko").write_bytes(Ko("b").bytes())
    assert ks("sign", ko, tmp_path / "b.ko", "-o", tmp_path / "x").status == 2
    ran = ks("sign", ko, "-o", tmp_path / "no/where.ko")
    assert ran.status == 69 and "KS006" in ran.err


@pytest.mark.parametrize("form", ["PEM", "DER", "one file", "PKCS#8 DER"])
def test_a_key_of_ones_own(ks, ko: Path, tmp_path: Path, form: str):
    key, cert = pair(tmp_path, "mine")
    given: list[str | Path] = ["--key", key, "--cert", cert]
    if "DER" in form:
        kind = ["pkcs8", "-topk8", "-nocrypt"] if "PKCS" in form else ["rsa"]
        openssl(*kind, "-in", key, "-outform", "DER", "-out", tmp_path / "key.der")
        openssl("x509", "-in", cert, "-outform", "DER", "-out", tmp_path / "cert.der")
        given = ["--key", tmp_path / "key.der", "--cert", tmp_path / "cert.der"]
        (tmp_path / "key.der").chmod(0o600)
    if form == "one file":
        key.write_bytes(key.read_bytes() + cert.read_bytes())
        given = ["--key", key]
    ran = ks("sign", ko, *given, "--json")
    assert ran.status == 0 and ran.json["signer"] == "mine" and ran.json["made"] is False
    assert ks("check", ko, "--json").json["signature"]["valid"] is True


def bad_keys(tmp_path: Path) -> dict[str, tuple[list[str | Path], str]]:
    key, cert = pair(tmp_path, "mine")
    _, other = pair(tmp_path, "other")
    locked = tmp_path / "locked.key"
    openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:right", "-out", locked)
    (tmp_path / "text").write_text("no key\n")
    (tmp_path / "cut.pem").write_bytes(cert.read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n")
    (tmp_path / "broken.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    return {
        "of another certificate": (["--key", key, "--cert", other], "KS085"),
        "damaged": (["--key", tmp_path / "broken.key", "--cert", cert], "KS085"),
        "not there": (["--key", tmp_path / "none", "--cert", cert], "KS081"),
        "no key": (["--key", tmp_path / "text", "--cert", cert], "KS081"),
        "in a token": (["--key", "pkcs11:object=mine", "--cert", cert], "KS081"),
        "without a certificate": (["--key", key], "KS082"),
        "a certificate alone": (["--cert", cert], "KS081"),
        "no certificate": (["--key", key, "--cert", tmp_path / "text"], "KS082"),
        "a damaged certificate": (["--key", key, "--cert", tmp_path / "cut.pem"], "KS082"),
        "encrypted": (["--key", locked, "--cert", cert], "KS083"),
        "with a hash nobody knows": (["--key", key, "--cert", cert, "--hash", "crc32"], "KS086"),
    }


def test_keys_that_can_not_be_used_change_nothing(ks, ko: Path, tmp_path: Path, own_world: Path, monkeypatch):
    monkeypatch.delenv("KBUILD_SIGN_PIN", raising=False)
    plain = ko.read_bytes()
    for what, (words, code) in bad_keys(tmp_path).items():
        ran = ks("sign", ko, *words, "--json")
        assert (ran.json["error"]["code"], ko.read_bytes()) == (code, plain), what
        assert ran.status == (69 if what == "damaged" else 2), what
        assert ran.json["error"]["fix"] or ran.json["error"]["cause"], what
    assert not (own_world / ".local/share/kscaffold").exists()


def test_an_encrypted_key_with_its_password(ks, ko: Path, tmp_path: Path, monkeypatch):
    _, (words, _) = list(bad_keys(tmp_path).items())[9]
    monkeypatch.setenv("KBUILD_SIGN_PIN", "wrong")
    ran = ks("sign", ko, *words)
    assert ran.status == 2 and "KS083" in ran.err
    monkeypatch.setenv("KBUILD_SIGN_PIN", "right")
    assert ks("sign", ko, *words).status == 0
    assert ks("check", ko, "--json").json["signature"]["valid"] is True


@pytest.mark.parametrize("form", ["PKCS#12", "PKCS#8 DER"])
def test_an_encrypted_key_that_does_not_say_so(ks, ko: Path, tmp_path: Path, monkeypatch, form: str):
    key, cert = pair(tmp_path, "mine")
    locked = tmp_path / "locked"
    if form == "PKCS#12":
        openssl("pkcs12", "-export", "-in", cert, "-inkey", key, "-passout", "pass:right", "-out", locked)
    else:
        openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:right", "-outform", "DER", "-out", locked)
    plain = ko.read_bytes()
    refusals = {None: "is encrypted", "wrong": "can't be opened with the password in", "right": ""}
    for pin, told in refusals.items():
        if pin:
            monkeypatch.setenv("KBUILD_SIGN_PIN", pin)
        else:
            monkeypatch.delenv("KBUILD_SIGN_PIN", raising=False)
        ran = ks("sign", ko, "--key", locked, "--cert", cert, "--json")
        if told:
            assert (ran.status, ran.json["error"]["code"], ko.read_bytes()) == (2, "KS083", plain)
            assert told in ran.json["error"]["message"]
    assert ran.status == 0 and ks("check", ko, "--json").json["signature"]["valid"] is True
    # An open key is not asked for a password, whatever is in the environment.
    assert ks("sign", ko, "--key", key, "--cert", cert).status == 0


@pytest.mark.parametrize("kind", ["pss", "ed25519"])
def test_a_key_of_a_kind_that_kernels_do_not_take(ks, ko: Path, tmp_path: Path, kind: str):
    config = next(tmp_path.glob("cache/kscaffold/kernels/*/build/.config"))
    config.write_text(f"{config.read_text()}CONFIG_CRYPTO_RSA=y\nCONFIG_CRYPTO_SHA256=y\n")
    key, cert = pair(tmp_path, "odd", kind)
    ran = ks("sign", ko, "--key", key, "--cert", cert)
    assert "an RSA key" in ran.err
    if kind == "pss":  # of the other openssl may make none
        assert ran.status == 0
        told = ks("check", ko, "--cmdline", "module.sig_enforce=1", "--cert", cert, "--json").json
        assert "KS449" in [f["code"] for f in told["findings"]]
        assert told["prediction"]["loads"] is not True


def test_a_key_that_others_can_read_is_told(ks, ko: Path, own_world: Path):
    ks("sign", ko)
    assert "chmod" not in ks("sign", ko).err
    (place(own_world) / "key.pem").chmod(0o644)
    ran = ks("sign", ko)
    assert ran.status == 0 and f"chmod 600 {place(own_world) / 'key.pem'}" in ran.err


def test_a_damaged_key_of_ours(ks, ko: Path, own_world: Path):
    ks("sign", ko)
    (place(own_world) / "key.pem").unlink()
    ran = ks("sign", ko, "--json")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS084" and ran.json["error"]["fix"]


def test_no_place_for_a_key(ks, ko: Path, tmp_path: Path, monkeypatch):
    plain = ko.read_bytes()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    ran = ks("sign", ko)
    assert ran.status == 69 and "file" in ran.err and "Traceback" not in ran.err
    assert ko.read_bytes() == plain


def test_without_openssl(ks, ko: Path, tmp_path: Path, monkeypatch):
    ks("sign", ko)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    ran = ks("sign", ko)
    assert ran.status == 69 and "KS001" in ran.err and "apt-get install" in ran.err
    assert ks("check", ko, "--json").json["signature"]["valid"] is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "KS403"),
        (b"#!/bin/sh\n", "KS404"),
        (Ko().bytes()[:400], "KS405"),
        (Ko().bytes() + bytes([0, 0, 2, 0, 0, 0, 0, 0, 255, 255, 255, 255]) + signature.MARKER, "KS080"),
    ],
)
def test_what_is_no_module_is_not_signed(ks, world, tmp_path: Path, content: bytes, code: str):
    path = tmp_path / "x.ko"
    path.write_bytes(content)
    ran = ks("sign", path, "--json")
    # A signature that can't be taken off is a wrong request; a file that is no module fails a check.
    assert (ran.status, ran.json["error"]["code"]) == (2 if code == "KS080" else 1, code)
    assert path.read_bytes() == content


def test_a_compressed_module_is_not_signed(ks, ko: Path):
    packed = ko.with_name("hello.ko.xz")
    before = lzma.compress(ko.read_bytes(), check=lzma.CHECK_CRC32)
    packed.write_bytes(before)
    ran = ks("sign", packed)
    assert ran.status == 2 and "KS080" in ran.err and f"unxz {packed}" in ran.err
    assert packed.read_bytes() == before


@pytest.mark.kernel
def test_strip_takes_it_off(ks, kernel, tmp_path: Path):
    ko = tmp_path / "hello.ko"
    shutil.copy(built(kernel("6.1")) / "hello.ko", ko)
    assert ks("sign", ko).status == 0 and ks("check", ko, "--json").json["signed"] is True
    subprocess.run([need_program("strip", "binutils"), "-g", ko], check=True)
    document = ks("check", ko, "--json").json
    assert document["signed"] is False and document["signature"] is None


def test_check_of_what_was_changed(ks, ko: Path, tmp_path: Path):
    ks("sign", ko)
    ran = ks("check", ko)
    assert ran.status == 0 and "signature   right: RSA 2048 sha256\n" in ran.out
    assert f"signer      kscaffold module signing key, key {certificate.spaced(signer(ko).serial)}" in ran.out
    signed = ko.read_bytes()
    for at in (300, 900):
        ko.write_bytes(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])
        document = ks("check", ko, "--json").json
        assert document["signature"]["valid"] is False and document["ok"] is False
        assert "KS447" in [f["code"] for f in document["findings"]]
    # Of the signature itself one bit.
    at = len(signed) - len(signature.MARKER) - 12 - 9
    ko.write_bytes(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])
    assert ks("check", ko, "--json").json["signature"]["valid"] is False


def test_check_with_a_certificate(ks, ko: Path, tmp_path: Path, own_world: Path):
    key, cert = pair(tmp_path, "theirs")
    _, other = pair(tmp_path, "other")
    ks("sign", ko, "--key", key, "--cert", cert)
    shutil.rmtree(own_world / ".local/share/kscaffold")  # another machine
    found = ks("check", ko, "--json").json["signature"]
    assert (found["signer"], found["valid"]) == ("theirs", None)
    assert "its certificate is not known: --cert FILE" in ks("check", ko).out
    assert ks("check", ko, "--cert", other, "--json").json["signature"]["valid"] is None
    ran = ks("check", ko, "--cert", tmp_path / "none")
    assert ran.status == 2 and "KS082" in ran.err


def test_two_at_once_make_one_key(ko: Path, tmp_path: Path, own_world: Path):
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"m{number}.ko")
        shutil.copy(ko, paths[-1])
    argv = [sys.executable, "-m", "kscaffold", "sign"]
    running = [subprocess.Popen([*argv, path], stderr=subprocess.PIPE, cwd=ROOT) for path in paths]
    for one in running:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said
    assert len({signer(path).serial for path in paths}) == 1
    kept = own_world / ".local/share/kscaffold"
    assert [p.name for p in kept.iterdir() if p.name.startswith(".")] == []


def test_a_killed_one_leaves_the_old_or_the_new(ks, ko: Path):
    plain = ko.read_bytes() + bytes(1 << 20)
    ko.write_bytes(plain)
    assert ks("sign", ko).status == 0
    signed = ko.read_bytes()
    chance = random.Random(5)
    for _ in range(12):
        ko.write_bytes(plain)
        child = subprocess.Popen([sys.executable, "-m", "kscaffold", "sign", ko], stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        assert ko.read_bytes() in (plain, signed)
    assert ks("sign", ko).status == 0
    assert [p.name for p in ko.parent.iterdir() if p.suffix == ".tmp"] == []


@pytest.mark.kernel
def test_a_signed_project_is_fresh_and_a_rebuilt_one_unsigned(ks, kernel, tmp_path: Path, monkeypatch):
    release = kernel("6.1").release
    project = write_project(tmp_path / "hello", hello__c=HELLO, Kbuild="obj-m := hello.o\n")
    monkeypatch.chdir(project)
    assert ks("sign", "-k", release).status == 0  # it builds first
    ran = ks("build", "-k", release, "--json")
    assert ran.json["up_to_date"] is True and ran.json["seconds"] < 0.3  # make was not asked
    assert ks("check", "-k", release, "--json").json["signature"]["valid"] is True
    before = (project / "hello.ko").stat().st_mtime_ns
    ks("sign", "-k", release)
    (project / "hello.c").write_text(HELLO + "\n/* changed */\n")
    assert ks("build", "-k", release, "--json").json["up_to_date"] is False
    assert ks("check", "-k", release, "--json").json["signed"] is False
    assert (project / "hello.ko").stat().st_mtime_ns > before


def test_hostile_certificates_and_messages_get_an_answer(ks, ko: Path, tmp_path: Path):
    ks("sign", ko)
    _, cert = pair(tmp_path, "mine", "p256")
    whole = der.from_pem(cert.read_bytes(), "CERTIFICATE")
    message = signature.message(ko.read_bytes())
    assert whole
    chance = random.Random(7)
    for read, data in ((certificate.read_certificate, whole), (certificate.signer, message)):
        read(data)
        for length in range(len(data)):
            with pytest.raises(DerError):
                read(data[:length])
        for _ in range(3000):
            changed = bytearray(data)
            for _ in range(chance.choice((1, 2, 8))):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            try:
                read(bytes(changed))
            except DerError:
                continue
