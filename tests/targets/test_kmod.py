"""The real insmod, rmmod and lsmod of this machine, run in a guest: `--host` knows their words."""

import errno
from pathlib import Path

import pytest

from kscaffold.targets import kmod
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built

pytestmark = [pytest.mark.sandbox, pytest.mark.network]


@pytest.fixture
def guest(ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """guest(program, *words): run it in a sandbox that has hello.ko."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    for program in ("insmod", "rmmod", "lsmod"):
        need_program(program, "kmod")
    kernel = need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    hello = built(kernel) / "hello.ko"

    def run(program: str, *words: str):
        return ks(
            "exec", "-k", kernel.release, "--copy", f"{hello}:/hello.ko", "--json", "--", program, *words
        )

    return run


def test_the_words_of_the_real_insmod_and_rmmod(guest):
    insmod, rmmod = "/usr/sbin/insmod", "/usr/sbin/rmmod"
    assert guest(insmod, "/hello.ko").json["status"] == 0
    listed = kmod.read_lsmod(guest("/usr/sbin/lsmod").json["stdout"], {})
    assert "hello" in [m.name for m in listed]
    again = guest(insmod, "/hello.ko").json
    assert again["status"] == 1 and kmod.INSMOD.spoke(again["stderr"])
    assert kmod.INSMOD.errno_of(again["stderr"]) == errno.EEXIST
    assert guest(rmmod, "hello").json["status"] == 0
    gone = guest(rmmod, "hello").json
    assert gone["status"] == 1 and kmod.RMMOD.errno_of(gone["stderr"]) == errno.ENOENT
