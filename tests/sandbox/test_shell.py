"""`sandbox shell` on a terminal of the test's own."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from kscaffold.sandbox.live import registry
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built

pytestmark = [pytest.mark.sandbox, pytest.mark.network]


class Typist:
    """Somebody at a terminal that runs a command."""

    def __init__(self, argv: list[str]) -> None:
        self.master, slave = pty.openpty()
        self.size(24, 80)
        self.child = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        os.close(slave)
        self.seen = ""

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait until the terminal shows it; what came before is dropped."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} not in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"ended before {pattern!r}: {self.seen!r}") from None
        self.seen = self.seen[found.end() :]
        return found


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


def test_a_shell_has_no_json(ks):
    ran = ks("sandbox", "shell", "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS004"
