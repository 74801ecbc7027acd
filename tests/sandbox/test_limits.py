"""Limits: every one can be set, and to nonsense never without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold import timeouts
from kscaffold.files import paths
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import REAL_CACHE, ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built

_NONSENSE = ("0", "-5", "nan", "inf", "1e9", "text", "")


@pytest.mark.parametrize("name", [*timeouts._DEFAULTS, timeouts.COMMAND])
def test_nonsense_in_a_limit_is_told_by_every_command(ks, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    for value in _NONSENSE:
        monkeypatch.setenv(f"KSCAFFOLD_{name}", value)
        for command in (("list",), ("run", "none.ko"), ("new", "something")):
            ran = ks(*command, "--json")
            assert (ran.status, ran.json["error"]["code"]) == (2, "KS601"), (value, command)
            assert f"KSCAFFOLD_{name}={value} " in ran.json["error"]["message"]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(f"KSCAFFOLD_{name}", "1e6")
    assert timeouts.seconds(name) == 1e6


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e300", "99999999999", "text"])
def test_a_deadline_is_a_number_of_seconds(ks, value):
    for words in ("run --timeout", "load --timeout", "run --watch", "unload --watch"):
        command, option = words.split()
        if (option, value) == ("--watch", "0"):
            continue  # no watching at all
        ran = ks(command, "--json", option, value)
        assert (ran.status, ran.json["error"]["code"]) == (2, "KS004"), (command, value)
        assert value.replace("1e300", "1e+300") in ran.json["error"]["message"]


@pytest.mark.sandbox
def test_a_guest_that_does_not_go_on_after_its_snapshot_is_told(ks, monkeypatch, tmp_path):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    ko = built(kernel) / "hello.ko"
    (tmp_path / "kscaffold").mkdir()
    (tmp_path / "kscaffold" / "kernels").symlink_to(REAL_CACHE / "kscaffold" / "kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KSCAFFOLD_RESTORE_TIMEOUT", "0.000001")
    for command in ("run", "load"):
        ran = ks(command, "--json", "-k", kernel.release, ko)
        assert (ran.status, ran.json["error"]["code"]) == (69, "KS604"), command
        assert "KSCAFFOLD_RESTORE_TIMEOUT" in ran.json["error"]["fix"]
    monkeypatch.delenv("KSCAFFOLD_RESTORE_TIMEOUT")
    # A sandbox that boots is not busy with another command, however long it takes.
    monkeypatch.setenv("KSCAFFOLD_BUSY_TIMEOUT", "1")
    assert ks("load", "-k", kernel.release, "--cmdline", "kscaffold.test=1", ko).status == 0
    ran = ks("run", "--json", "-k", kernel.release, ko, "-p", "x" * 70_000)
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS611")
    assert "70000 bytes" in ran.json["error"]["cause"]


def test_ctrl_c_is_heard_before_kscaffold_is_read():
    """While most of it is still imported, which takes longer than many commands."""
    code = (
        "import sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'kscaffold.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from kscaffold.__main__ import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error[KS003]: interrupted\n")
    scripts = (ROOT / "pyproject.toml").read_text()
    assert 'kscaffold = "kscaffold.__main__:main"' in scripts


@pytest.mark.sandbox
def test_a_sandbox_that_has_no_room_says_why(ks, monkeypatch, tmp_path):
    """Its daemon finds out, and the command that waits for it is told so, not that it has ended."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    guests = paths.runtime() / "guests"
    guests.parent.mkdir()
    guests.write_text("no directory")
    ran = ks("load", "--json", "-k", kernel.release, built(kernel) / "hello.ko")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS007"
    assert str(guests) in ran.json["error"]["message"]
    assert ks("sandbox", "status", "--json").json["sandboxes"] == []


def test_a_disk_that_takes_no_more_is_named(tmp_path):
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from kscaffold.files.atomic import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try: write_whole(Path(sys.argv[1]), 'text')\n"
        "except OSError as error: print(error.filename)"
    )
    file = tmp_path / "card.json"
    argv = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=ROOT)
    assert done.stdout.strip() == str(file), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_sandboxes_is_nobody_elses(ks, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    another = os.getuid() + 4_000_000
    monkeypatch.setattr(os, "geteuid", lambda: another)
    place = Path(f"/tmp/kscaffold-{another}")
    assert paths.runtime() == place
    place.symlink_to("/nowhere")
    try:
        ran = ks("sandbox", "status", "--json")
    finally:
        place.unlink()
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS618")
    assert "XDG_RUNTIME_DIR" in ran.json["error"]["fix"]


@pytest.mark.sandbox
def test_a_guest_has_no_network_and_no_file_of_the_host():
    need_program("qemu-system-x86_64", "qemu-system-x86")
    guest = start_guest(plan_vm(need_kernel("6.1"), ""))
    try:
        target = SandboxTarget.from_guest(guest, "")
        interfaces = [line.split(b":")[0].strip() for line in target.read("/proc/net/dev").splitlines()[2:]]
        assert interfaces == [b"lo"]
        assert target.read("/proc/partitions").split() in ([], [b"major", b"minor", b"#blocks", b"name"])
        kinds = {line.split()[2] for line in target.read("/proc/mounts").splitlines()}
        assert kinds <= {b"rootfs", b"devtmpfs", b"proc", b"sysfs", b"debugfs", b"tracefs", b"devpts"}, kinds
        with pytest.raises(FileNotFoundError):
            target.read(str(Path(__file__)))
    finally:
        guest.close()
