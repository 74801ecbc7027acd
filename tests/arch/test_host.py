"""kscaffold on an arm64 machine, as far as a faked `uname` shows it: nothing of x86-64 is assumed."""

import os
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.elf.quick import foreign_machine
from kscaffold.kernel import choose
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.request import TargetRequest
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.vm import accelerator, boot
from tests.support.elf import of


@pytest.fixture(autouse=True)
def on_arm64(monkeypatch: pytest.MonkeyPatch) -> None:
    said = os.uname_result(("Linux", "board", "6.1.0-56-arm64", "#1 SMP", "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: said)


ARM64, X86_64 = table.by_debian("arm64"), table.by_debian("amd64")


def test_this_machine_s_own_is_arm64_s():
    assert ARM64 is not None
    assert table.host() is ARM64 and table.cross_prefix(ARM64) == ""
    assert choose.to_load()[-1] == ("qemu-system-aarch64", "qemu-system-arm")
    kernel = Kernel("6.1.0-56-cloud-arm64", "fetched", None, None, None, None, "bookworm")
    assert (kernel.arch, kernel.name) == ("aarch64", "6.1.0-56-cloud-arm64")
    assert choose.of_machine([kernel], None) == [kernel]


def test_a_build_for_it_has_no_cross_compiler(tmp_path: Path):
    tree = read_tree(tmp_path)
    assert (tree.kbuild, tree.srcarch, tree.cross, tree.arch) == ("arm64", "arm64", "", "aarch64")
    other = read_tree(tmp_path, "x86_64")
    assert (other.kbuild, other.cross) == ("x86_64", "x86_64-linux-gnu-")
    assert other.compiler_package == "gcc-x86-64-linux-gnu"


def test_its_agent_is_compiled_by_its_own_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert ARM64 is not None and X86_64 is not None
    for name in ("gcc", "x86_64-linux-gnu-gcc"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert guest_root.compiler(ARM64) == str(tmp_path / "gcc")
    assert guest_root.compiler(X86_64) == str(tmp_path / "x86_64-linux-gnu-gcc")
    assert boot.counter_khz(ARM64) is None


def test_x86_64_is_the_other_machine(tmp_path: Path):
    assert X86_64 is not None
    kernel = Kernel("6.1.0-56-cloud-amd64", "fetched", None, None, None, None, "bookworm", "x86_64")
    assert kernel.name == "amd64:6.1.0-56-cloud-amd64" and choose.of_machine([kernel], None) == []
    probe = accelerator.probe("/bin/true", X86_64)
    assert probe.accelerator == "tcg" and probe.why == "the guest is x86-64, this machine is aarch64"
    ko = tmp_path / "x.ko"
    ko.write_bytes(of("x86_64").bytes())
    assert foreign_machine(ko) is X86_64
    assert TargetRequest().for_modules([ko]).kernel == "amd64:"
    ko.write_bytes(of("arm64").bytes())
    assert TargetRequest().for_modules([ko]).kernel is None
