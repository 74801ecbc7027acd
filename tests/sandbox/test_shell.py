"""`sandbox shell` on a terminal of the test's own."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kscaffold.sandbox.live import registry
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built
from tests.support.typist import Typist

pytestmark = [pytest.mark.sandbox, pytest.mark.network]


@pytest.fixture
def typist(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    assert ks("load", "-k", kernel.release, built(kernel) / "hello.ko").status == 0
    opened = Typist([sys.executable, "-m", "kscaffold", "sandbox", "shell"])
    yield opened
    opened.child.kill()
    opened.child.wait()
    os.close(opened.master)


def test_commands_size_and_ctrl_c_reach_the_guest(ks, typist):
    typist.expect("sandbox# ")
    typist.type("grep -c hello /proc/modules; stty size\n")
    typist.expect(r"\n1\r\n24 80\r\n")
    typist.size(40, 132)
    os.kill(typist.child.pid, signal.SIGWINCH)
    typist.expect("sandbox# ")
    typist.type("sleep 0.2; stty size\n")
    typist.expect(r"\n40 132\r\n")
    typist.type("sleep 1000\n")
    time.sleep(0.5)
    typist.type("\x03")
    typist.expect("sandbox# ")
    typist.type("echo still-$((1+1))\n")
    typist.expect("\nstill-2\r\n")
    typist.type("exit\n")
    assert typist.child.wait(20) == 0
    # The sandbox lives on, with what was loaded.
    assert "hello" in ks("list", "--all").out


def test_the_shell_s_status_is_the_command_s(ks, typist):
    typist.expect("sandbox# ")
    typist.type("exit 3\n")
    assert typist.child.wait(20) == 3


def test_a_terminal_that_is_closed_leaves_the_sandbox_usable(ks, typist):
    typist.expect("sandbox# ")
    typist.child.kill()
    typist.child.wait()
    assert "hello" in ks("list", "--all").out
    assert len(registry.all_sandboxes()) == 1


@pytest.fixture
def script(ks, tmp_path, monkeypatch):
    """Run `sandbox shell` with this on its standard input, which is no terminal."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    assert ks("load", "-k", kernel.release, built(kernel) / "hello.ko").status == 0

    def run(text: str) -> subprocess.CompletedProcess[str]:
        shell = [sys.executable, "-m", "kscaffold", "sandbox", "shell"]
        return subprocess.run(shell, input=text, capture_output=True, text=True, timeout=120)

    return run


@pytest.mark.parametrize(
    ("text", "status", "out"),
    [
        ("exit 7\n", 7, ""),
        ("lsmod | grep -c ^hello; false\n", 1, "1\n"),  # the input ends while a command runs
        ("echo out; kill -9 $$\n", 128 + 9, "out\n"),
    ],
)
def test_a_script_on_standard_input(script, text, status, out):
    done = script(text)
    assert (done.returncode, done.stdout) == (status, out)


def test_what_busybox_says_of_a_load_is_not_to_be_trusted(script):
    done = script("true\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "insmod exits with the errno cut to 8 bits, its modprobe knows no softdep" in done.stderr


def test_a_kernel_that_ends_below_the_shell(ks, script):
    done = script("echo c > /proc/sysrq-trigger\n")
    assert done.returncode == 69 and "error[KS610]" in done.stderr and "kscaffold load" in done.stderr
    assert "sysrq" in ks("logs").out


def test_a_shell_has_no_json(ks):
    ran = ks("sandbox", "shell", "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS004"
