"""The probe for KVM. Nothing here opens /dev/kvm: QEMU is a program of the test's own."""

import json
import sys
import time

import pytest

from kscaffold.sandbox.vm import accelerator
from tests.conftest import need_program

INTEL = "processor\t: 0\nflags\t\t: fpu vme vmx ssse3\n"


@pytest.fixture
def probed(monkeypatch, tmp_path):
    """A QEMU that does as told, asked as if this machine had all KVM is made of."""
    monkeypatch.delenv("KSCAFFOLD_ACCEL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(accelerator, "lacking", lambda cpuinfo: None)
    monkeypatch.setattr(accelerator, "_DEVICE", tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    program = tmp_path / "qemu"

    def probe(script: str) -> accelerator.Probe:
        head = "import sys, time, os, signal\nopen(os.environ['RAN'], 'a').write('x')"
        program.write_text(f"#!{sys.executable}\n{head}\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("RAN", str(tmp_path / "ran"))
        return accelerator.probe(str(program))

    return probe


def test_the_proof_is_one_byte_from_the_guest(probed):
    found = probed("sys.exit(0x2a << 1 | 1)")
    assert (found.accelerator, found.why, found.fresh) == ("kvm", None, True)


@pytest.mark.parametrize("script", ["sys.exit(0)", "sys.exit(1)", "os.abort()", "print('ok')"])
def test_anything_else_is_no_proof(probed, script):
    found = probed(script)
    assert found.accelerator == "tcg" and "does not work" in found.why


def test_what_qemu_says_is_the_reason(probed):
    found = probed("sys.stderr.write('error: failed to set MSR 0x10a\\n'); os.abort()")
    assert "failed to set MSR 0x10a" in found.why


def test_a_guest_that_spins_is_given_up_in_time(probed, monkeypatch):
    monkeypatch.setattr(accelerator, "_DEADLINE", 0.5)
    began = time.monotonic()
    found = probed("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass")
    assert found.accelerator == "tcg" and "did not end" in found.why
    assert time.monotonic() - began < 10


def test_the_verdict_is_kept_until_the_host_boots_again(probed, monkeypatch, tmp_path):
    assert probed("sys.exit(1)").fresh
    again = accelerator.probe(str(tmp_path / "qemu"))
    assert (again.accelerator, again.fresh) == ("tcg", False)
    assert (tmp_path / "ran").read_text() == "x"
    monkeypatch.setattr(accelerator, "_boot_id", lambda: "another boot")
    assert accelerator.probe(str(tmp_path / "qemu")).fresh
    assert (tmp_path / "ran").read_text() == "xx"


def test_a_kvm_that_fails_a_real_guest_is_condemned(probed, tmp_path):
    assert probed("sys.exit(85)").accelerator == "kvm"
    accelerator.mark_kvm_broken(str(tmp_path / "qemu"), "it spun")
    found = accelerator.probe(str(tmp_path / "qemu"))
    assert (found.accelerator, found.why) == ("tcg", "it spun")


def test_a_damaged_record_is_found_out_again(probed, tmp_path):
    for text in ("", "{", "[]", json.dumps({"key": 1})):
        (tmp_path / "cache/kscaffold").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache/kscaffold/accelerator.json").write_text(text)
        assert probed("sys.exit(85)").fresh


def test_without_vmx_or_svm_no_guest_is_tried():
    assert accelerator.missing_cpu_feature(INTEL) is None
    assert accelerator.missing_cpu_feature(INTEL.replace("vmx", "svm")) is None
    assert "neither vmx nor svm" in (accelerator.missing_cpu_feature("flags\t: fpu hypervisor\n") or "")
    assert accelerator.missing_cpu_feature("") is not None


def test_the_firmware_of_the_proof():
    image = accelerator.proof_of_life()
    assert len(image) == 0x10000
    # The reset vector of an x86 processor is 16 bytes below the end of its firmware.
    assert image[-16:-11] == bytes.fromhex("b02ae6f4f4")


def test_the_users_word_overrides(monkeypatch):
    monkeypatch.setenv("KSCAFFOLD_ACCEL", "kvm")
    assert accelerator.probe("/nothing").accelerator == "kvm"
    monkeypatch.setenv("KSCAFFOLD_ACCEL", "tcg")
    assert accelerator.probe("/nothing").accelerator == "tcg"


def test_a_wrong_word_is_a_usage_error(ks, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    monkeypatch.setenv("KSCAFFOLD_ACCEL", "hax")
    assert ks("doctor").status == 2
