"""A kernel's name with its architecture, and what is done for a machine that is not this one."""

import os
import shutil
import struct
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel import choose, image
from kscaffold.kernel.buildable import missing_packages
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.packages import apt
from kscaffold.sandbox.agent.protocol import ChannelTimeout
from kscaffold.sandbox.vm import accelerator, restore_probe

S390X = table.by_debian("s390x")
assert S390X is not None


@pytest.mark.parametrize(
    ("release", "arch", "spec"),
    [
        (None, None, None),
        ("6.1", None, "6.1"),
        (None, "s390x", "s390x:"),
        ("6.1", "aarch64", "arm64:6.1"),
        ("arm64:6.1", "arm64", "arm64:6.1"),
    ],
)
def test_one_word_names_a_kernel(release: str | None, arch: str | None, spec: str | None):
    assert choose.spec_of(release, arch) == spec


@pytest.mark.parametrize(
    ("spec", "machine", "release"),
    [("6.1", None, "6.1"), ("s390x:6.1", "s390x", "6.1"), ("armv7l:", "armhf", None), (None, None, None)],
)
def test_a_name_is_taken_apart(spec: str | None, machine: str | None, release: str | None):
    found, rest = choose.split_spec(spec)
    assert (found.debian if found else None, rest) == (machine, release)


@pytest.mark.parametrize("argv", [("--arch", "vax"), ("-k", "vax:6.1")])
def test_what_is_no_architecture_is_told_with_those_there_are(ks, tmp_path: Path, argv):
    (tmp_path / "Kbuild").write_text("obj-m := x.o\n")
    ran = ks("build", "-C", tmp_path, *argv, "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS533"
    assert "s390x" in ran.json["error"]["fix"]


def test_two_architectures_are_one_too_many():
    with pytest.raises(UsageError) as raised:
        choose.spec_of("arm64:6.1", "s390x")
    assert raised.value.code == "KS004"


def test_the_host_has_one_architecture(ks, tmp_path: Path):
    ran = ks("load", "-C", tmp_path, "--host", "--arch", "s390x", "--json")
    assert (
        ran.status == 2 and ran.json["error"]["code"] == "KS004" and "--arch" in ran.json["error"]["message"]
    )


def kernel(release: str, arch: str) -> Kernel:
    return Kernel(release, "fetched", None, None, None, None, "here", arch)


HERE = os.uname().machine
SOME = [kernel("6.1.0-56-cloud-amd64", HERE), kernel("6.1.0-50-s390x", "s390x")]


def test_a_beginning_means_this_machine_s_kernel_and_a_whole_release_any():
    assert choose.match("6.1", SOME) is SOME[0]
    assert choose.match("6.1.0-50-s390x", SOME) is SOME[1]
    assert choose.match("6.1", SOME, machine=S390X) is SOME[1]
    with pytest.raises(UsageError) as raised:
        choose.match("6.1", SOME[1:])
    assert raised.value.fix and raised.value.fix.startswith("--arch s390x for 6.1.0-50-s390x")
    with pytest.raises(UsageError) as raised:
        choose.match("6.12", SOME, machine=S390X)
    assert raised.value.fix == "kscaffold kernel add 6.12 --arch s390x"


def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    place = tmp_path / "programs"
    place.mkdir()
    for name in names:
        (place / name).symlink_to(shutil.which("true") or "/bin/true")
    monkeypatch.setenv("PATH", str(place))


def tree(tmp_path: Path):
    build = tmp_path / "headers"
    build.mkdir()
    (build / ".kernelvariables").write_text("override ARCH = s390\nCC = $(CROSS_COMPILE)gcc-14\n")
    return read_tree(build, "s390x")


def test_another_machine_s_compiler_is_never_this_machine_s(tmp_path, monkeypatch):
    programs(tmp_path, monkeypatch, "make", "gcc", "gcc-14", "ld")
    with pytest.raises(KscaffoldError) as raised:
        toolchain(tree(tmp_path))
    assert raised.value.code == "KS106"
    assert raised.value.fix and raised.value.fix.endswith(" gcc-s390x-linux-gnu")


def test_the_nearest_compiler_for_that_machine_is_taken_and_told(tmp_path, monkeypatch):
    programs(tmp_path, monkeypatch, "make", "gcc-14", "s390x-linux-gnu-gcc-12")
    tools = toolchain(tree(tmp_path))
    assert tools.variables == ("ARCH=s390", "CROSS_COMPILE=s390x-linux-gnu-", "CC=s390x-linux-gnu-gcc-12")
    assert "s390x-linux-gnu-gcc-14" in tools.notes[0]


def test_what_must_be_installed_is_one_command(tmp_path, monkeypatch):
    programs(tmp_path, monkeypatch, "gcc", "qemu-system-x86_64")
    assert missing_packages(SOME[1]) == ["qemu-system-misc", "gcc-s390x-linux-gnu"]
    assert missing_packages(SOME[0]) == []


def test_apt_s_own_architecture_is_the_kernel_s_and_this_machine_s_is_beside_it(tmp_path: Path):
    text = apt.configuration(tmp_path, ["s390x", "amd64"])
    assert 'APT::Architecture "s390x";\n' in text
    assert text.endswith('APT::Architectures:: "s390x";\nAPT::Architectures:: "amd64";\n')


def test_a_payload_is_cut_out_of_an_efi_image():
    import zstandard

    loong = table.by_debian("loong64")
    assert loong is not None
    payload = zstandard.compress(b"the kernel" * 100)
    zboot = b"MZ\0\0zimg" + struct.pack("<II", 64, len(payload))
    assert image.unpacked(zboot.ljust(64, b"\0") + payload + b"tail", loong) == b"the kernel" * 100
    with pytest.raises(KscaffoldError) as raised:
        image.unpacked(zboot.ljust(64, b"\0") + payload[:20], loong)
    assert raised.value.code == "KS510"
    assert S390X is not None and image.unpacked(b"\0" * 100, S390X) is None


def test_a_foreign_guest_has_no_kvm(monkeypatch):
    monkeypatch.setenv("KSCAFFOLD_ACCEL", "kvm")
    probe = accelerator.probe("/bin/true", S390X)
    assert probe.accelerator == "tcg" and probe.why and "IBM Z" in probe.why


def test_silence_after_the_greeting_proves_that_restores_are_dead(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert S390X is not None
    program, other = tmp_path / "qemu", table.by_debian("arm64")
    assert other is not None
    program.write_text("")
    assert restore_probe.restores_live(str(program), S390X)
    restore_probe.note_dead(str(program), S390X, greeted=True)
    assert not restore_probe.restores_live(str(program), S390X)
    # Of this machine, and of this QEMU.
    assert restore_probe.restores_live(str(program), other)
    os.utime(program, ns=(1, 1))
    assert restore_probe.restores_live(str(program), S390X)


def test_a_guest_that_did_not_take_the_greeting_gets_a_second_chance(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert S390X is not None
    program = str(tmp_path / "qemu")
    Path(program).write_text("")
    restore_probe.note_dead(program, S390X, greeted=ChannelTimeout("").acknowledged)
    assert restore_probe.restores_live(program, S390X)
    restore_probe.note_alive(program, S390X)
    restore_probe.note_dead(program, S390X, greeted=False)
    assert restore_probe.restores_live(program, S390X)
    restore_probe.note_dead(program, S390X, greeted=False)
    assert not restore_probe.restores_live(program, S390X)
