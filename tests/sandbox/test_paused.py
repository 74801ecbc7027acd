"""hung only when hung: time counts while the guest could run, and what contradicts it wins."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kscaffold.diagnosis import trace
from kscaffold.diagnosis.attempt import Attempt, Listed
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, judge_unload
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.execute import ExecRequest, Executed, bring, read_program, run_program_in
from kscaffold.load.gather import gather
from kscaffold.load.load import load as load_one
from kscaffold.load.unload import unload as unload_one
from kscaffold.process import is_stopped
from kscaffold.records import replace
from kscaffold.sandbox.agent import protocol, running_clock
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import ChannelTimeout, Kind
from kscaffold.sandbox.agent.running_clock import RunningClock
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.live.daemon import asks
from kscaffold.targets.absent import AbsentSandbox
from tests.conftest import need_program
from tests.support.elf import Ko
from tests.support.evidence import DATA
from tests.support.guests import ask, guest_of
from tests.support.kernels import need_kernel
from tests.support.modules import built


@pytest.fixture
def kernel() -> Kernel:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    return need_kernel("6.1")


@contextlib.contextmanager
def stopped(pid: int, after: float, seconds: float) -> Iterator[None]:
    """That process is stopped for so long meanwhile."""

    def stop() -> None:
        time.sleep(after)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_qemu_that_is_stopped_takes_no_time_of_the_guest(kernel):
    with guest_of(kernel) as (guest, target):
        with stopped(guest.qemu.pid, 0.3, 5):
            report = load_one(*ask(kernel, "slow"), target, timeout=2)
        assert report.judgement.verdict == "loaded", report.judgement.cause
        with stopped(guest.qemu.pid, 0.3, 5):
            unloaded = unload_one("slow", target, timeout=2, ko=report.file)
        assert unloaded.judgement.verdict == "unloaded", unloaded.judgement.cause
        with stopped(guest.qemu.pid, 0.3, 3):
            report = load_one(*ask(kernel, "sleeper"), target, timeout=1)
        assert (report.judgement.verdict, report.judgement.code) == ("hung", "KS260")


@contextlib.contextmanager
def throttled(pid: int, runs: float, rests: float) -> Iterator[None]:
    """That process runs for so long, and is stopped for so long, in turn: as on a machine that is busy."""
    ended = threading.Event()

    def turn() -> None:
        while not ended.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(rests)
            os.kill(pid, signal.SIGCONT)
            time.sleep(runs)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.sandbox
@pytest.mark.kernel
def test_what_computes_gets_its_time_on_a_machine_that_gives_it_a_tenth(kernel):
    """A busy loop of 1 s takes 8 there, and it is no loop without an end; one without an end is."""
    with guest_of(kernel) as (guest, target):
        with throttled(guest.qemu.pid, 0.05, 0.33):
            began = time.monotonic()
            report = load_one(*ask(kernel, "busy", "ms=1000"), target, timeout=3)
            assert report.judgement.verdict == "loaded", report.judgement.cause
            assert time.monotonic() - began > 4, "it had its processor all the time"
            unloaded = unload_one("busy", target, timeout=3, ko=report.file)
            assert unloaded.judgement.verdict == "unloaded", unloaded.judgement.cause
            began = time.monotonic()
            report = load_one(*ask(kernel, "endless"), target, timeout=1)
        assert (report.judgement.verdict, report.judgement.code) == ("hung", "KS260")
        assert time.monotonic() - began > 3


SPIN = """
#include <stdlib.h>
#include <time.h>
static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}
int main(int count, char **words)
{
	for (int ms = atoi(words[1]); ms; ms -= ms > 0)
		for (long long end = now() + 1000000; now() < end;)
			;
	return 3;
}
"""


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_program_of_the_users_gets_its_time_too(kernel, tmp_path):
    """It takes so many ms of a processor, or with -1 all that there are."""
    need_program("gcc", "gcc")
    (tmp_path / "spin.c").write_text(SPIN)
    with guest_of(kernel) as (guest, target):
        request = ExecRequest(("./spin.c",), tmp_path)
        program = bring(target, request, read_program(request, kernel), kernel)

        def spin(ms: int, timeout: float) -> Executed:
            return run_program_in(target, replace(program, argv=("spin", str(ms))), b"", timeout, {})

        assert spin(1, 10).status == 3
        with stopped(guest.qemu.pid, 0.3, 5):
            done = spin(200, 2)
        assert (done.status, done.late) == (3, False)
        with throttled(guest.qemu.pid, 0.05, 0.95):
            done = spin(200, 2)
            assert (done.status, done.late) == (3, False)
            assert done.seconds > 2.5, "it had its processor all the time"
            endless = spin(-1, 1)
        assert endless.late and endless.seconds > 2
        endless = spin(-1, 1)
        assert endless.late and 0.9 < endless.seconds < 15


@pytest.mark.sandbox
@pytest.mark.kernel
def test_exec_in_a_sandbox_with_a_daemon(ks, kernel, tmp_path, monkeypatch):
    need_program("gcc", "gcc")
    (tmp_path / "spin.c").write_text(SPIN)
    monkeypatch.chdir(tmp_path)
    assert ks("exec", "-k", kernel.release, "spin.c", "1").status == 3
    qemu = registry.find_sandbox(tmp_path).qemu
    with throttled(qemu, 0.05, 0.95):
        ran = ks("exec", "--json", "--timeout", "2", "spin.c", "200")
    assert (ran.json["status"], ran.json["late"]) == (3, False)
    ran = ks("exec", "--json", "--timeout", "1", "spin.c", "-1")
    assert ran.json["late"] is True
    # It stays stopped: nobody says that its kernel has ended.
    monkeypatch.setattr(running_clock, "MOST_STOPPED", 1.0)
    with stopped(qemu, 2.0, 5):
        ran = ks("exec", "--timeout", "30", "spin.c", "9000")
    assert (ran.status, "error[KS620]" in ran.err) == (69, True), ran.err
    with typed(b"true\n", tmp_path):  # BusyBox is there after this
        assert ks("sandbox", "shell").status == 0
    with stopped(qemu, 4.0, 5), typed(b"echo begun; sleep 30\n", tmp_path):
        ran = ks("sandbox", "shell")
    assert (ran.status, ran.out, "error[KS620]" in ran.err) == (69, "begun\n", True), ran.err
    assert registry.find_sandbox(tmp_path).qemu == qemu
    assert ks("sandbox", "stop").status == 0


@contextlib.contextmanager
def typed(text: bytes, place: Path) -> Iterator[None]:
    """That text is this process's standard input."""
    (place / "input").write_bytes(text)
    before = os.dup(0)
    with (place / "input").open("rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_busy_machine_has_a_hard_bound(kernel, monkeypatch):
    """Whatever the guest had of the machine: after so many seconds it is over."""
    monkeypatch.setattr(running_clock, "MOST_WAITING", 2.0)
    with guest_of(kernel) as (guest, target):
        guest.channel.clock = RunningClock(cpu_wait=time.monotonic)
        began = time.monotonic()
        report = load_one(*ask(kernel, "endless"), target, timeout=1)
    assert report.judgement.verdict == "hung" and 2.9 < time.monotonic() - began < 25


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_sandbox_that_stays_stopped_is_not_lost(ks, kernel, tmp_path, monkeypatch):
    shutil.copy(built(kernel) / "slow.ko", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running_clock, "MOST_STOPPED", 1.0)
    assert ks("load", "-k", kernel.release, "slow.ko", "ms=1").status == 0
    card = registry.find_sandbox(tmp_path)
    for pid in (card.qemu, card.daemon):
        os.kill(pid, signal.SIGSTOP)
        try:
            ran = ks("list")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (ran.status, "error[KS620]" in ran.err) == (69, True), ran.err
        assert f"fix: kill -CONT {pid}" in ran.err and f"its process {pid}; waited" in ran.err
    ran = ks("list", "--json")
    assert ran.status == 0 and [m["name"] for m in ran.json["modules"]] == ["slow"]
    assert registry.find_sandbox(tmp_path).daemon == card.daemon, "it is the same one"
    assert ks("sandbox", "stop").status == 0


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_daemon_that_is_stopped_takes_none_either(ks, kernel, tmp_path, monkeypatch):
    shutil.copy(built(kernel) / "slow.ko", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert ks("load", "-k", kernel.release, "slow.ko", "ms=1").status == 0
    assert ks("unload", "slow").status == 0
    daemon = registry.find_sandbox(tmp_path).daemon
    with stopped(daemon, 1.0, 6):
        ran = ks("load", "--json", "-k", kernel.release, "--timeout", "3", "slow.ko", "ms=1500")
    assert ran.json["verdict"] == "loaded", ran.json
    assert ks("sandbox", "stop").status == 0


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_panic_is_told_though_somebody_swept_the_guests_files(kernel):
    with guest_of(kernel) as (guest, target):
        shutil.rmtree(guest.directory)
        told = load_one(*ask(kernel, "panics"), target, timeout=20).judgement
    assert (told.verdict, told.complaints[0].kind) == ("crashed", "panic")
    assert "on purpose" in told.cause


def test_an_answer_that_waits_at_the_deadline_is_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(protocol.frame(Kind.END, 7, 0, b"there"))
        assert Channel(ours).answer(7, -30.0).payload == b"there"
        # But not answers to others, for ever.
        theirs.sendall(protocol.frame(Kind.END, 6) * 3 + protocol.frame(Kind.END, 7))
        with pytest.raises(ChannelTimeout):
            Channel(ours).answer(7, -30.0)


# What is stopped between the moment at which it sets a deadline and the one at which it listens.
_BETWEEN = """
import os, signal, socket, threading
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import Channel
ours, theirs = socket.socketpair()
channel = Channel(ours)
deadline = channel.now() + 1
os.kill(os.getpid(), signal.SIGSTOP)
answer = protocol.frame(protocol.Kind.END, 7, 0, b"there")
threading.Timer(0.4, theirs.sendall, (answer,)).start()
print(channel.receive(7, deadline)[1].payload)
"""


def test_who_is_stopped_before_it_listens_has_not_waited():
    with subprocess.Popen([sys.executable, "-c", _BETWEEN], stdout=subprocess.PIPE, text=True) as child:
        os.waitpid(child.pid, os.WUNTRACED)
        time.sleep(2.5)
        child.send_signal(signal.SIGCONT)
        said, _ = child.communicate(timeout=60)
    assert said == "b'there'\n"


def test_the_clock_stands_while_somebody_is_stopped(monkeypatch):
    ours, theirs = socket.socketpair()
    looks = iter([7] * 8 + [0] * 99)
    clock, began = RunningClock(lambda: next(looks)), time.monotonic()
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    with ours, theirs:
        assert clock.wait(poll, clock.now() + 0.05) == []
        stood = time.monotonic() - clock.now()
        assert 0.5 < stood <= time.monotonic() - began
        monkeypatch.setattr(running_clock, "MOST_STOPPED", 0.3)
        forever = Channel(ours, RunningClock(lambda: 4711))
        with pytest.raises(ChannelTimeout) as error:
            forever.answer(7, 0.01)
    assert error.value.stopped == 4711
    silent = protocol.lost(protocol.Answer(protocol.STOPPED, b"4711\nits last words\n"))
    assert isinstance(silent, ChannelTimeout)
    assert (silent.stopped, silent.console) == (4711, "its last words\n")


def test_a_process_that_is_stopped_is_seen():
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    try:
        os.waitpid(child, os.WUNTRACED)
        assert is_stopped(child) and not is_stopped(os.getpid())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not is_stopped(child)


class Kernel61(AbsentSandbox):
    """A kernel that has these modules."""

    def __init__(self, *there: Listed) -> None:
        self.there = there

    def modules(self) -> list[Listed]:
        return list(self.there)


def late(**more) -> Attempt:
    return Attempt(None, (), answered=False, late=True, **more)


def test_what_contradicts_a_late_answer_wins(tmp_path):
    path = tmp_path / "hello.ko"
    path.write_bytes(Ko("hello").bytes())
    ko = ModuleFile.open(path)
    recorded = (DATA / "loads-6.1.txt").read_text().partition("== success ")[2].partition("\n== ")[0]
    whole = recorded.partition("-- trace\n")[2]
    # The system call came back, a moment after the deadline.
    told = judge(gather(ko, late(trace=whole), Kernel61()))
    assert (told.verdict, told.returned) == ("loaded", 0)
    # init came back, and the system call did not.
    lines = whole.splitlines()
    ends = max(i for i, line in enumerate(lines) if "sys_finit_module ->" in line)
    events = trace.timeline(trace.parse_trace("\n".join(lines[:ends])))
    assert events.returned == 0 and events.errno is None
    told = judge(gather(ko, late(trace="\n".join(lines[:ends])), Kernel61()))
    assert (told.verdict, told.code, told.certain) == ("hung", "KS267", False)
    assert told.cause.startswith("init returned 0, and the kernel did not come back")
    # The module is live.
    live = Listed("hello", 1, 0, (), "Live", "", False)
    assert judge(gather(ko, late(), Kernel61(live))).verdict == "loaded"
    assert judge(gather(ko, late(), Kernel61())).verdict == "hung"


def test_an_exit_that_came_to_its_end_did_not_hang():
    assert judge_unload(UnloadEvidence("m", late(), gone=True)).verdict == "unloaded"
    assert judge_unload(UnloadEvidence("m", late())).verdict == "hung"


# A client that stops itself, as Ctrl-Z stops it, and then asks.
_STOPPED = """
import os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    os.kill(os.getpid(), signal.SIGSTOP)
    client.send(b"x")
    sys.stdin.read()
"""


@pytest.fixture
def stopped_client(tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket, subprocess.Popen[bytes]]]:
    """The daemon's end of the connection to a client that is stopped, the daemon's listener, the client."""
    place = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        with subprocess.Popen([sys.executable, "-c", _STOPPED, place], stdin=subprocess.PIPE) as child:
            client, _ = listener.accept()
            with client:
                deadline = time.monotonic() + 30
                while not is_stopped(child.pid) and time.monotonic() < deadline:
                    time.sleep(0.01)
                yield client, listener, child
            child.kill()


def test_a_client_that_is_stopped_may_be_silent(stopped_client):
    """Longer than another may, whom the daemon gives up."""
    client, listener, child = stopped_client
    threading.Timer(0.3, lambda: os.kill(child.pid, signal.SIGCONT)).start()
    assert asks(client, listener, until=time.monotonic() + 60, silence=0.05)
    assert client.recv(1) == b"x"
    assert not asks(client, listener, until=time.monotonic() + 60, silence=0.05)


def test_a_client_that_is_stopped_makes_room_for_another(stopped_client):
    client, listener, _ = stopped_client
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(listener.getsockname())
        assert not asks(client, listener, until=time.monotonic() + 60, silence=0.05)
    listener.accept()[0].close()
    assert not asks(client, listener, until=time.monotonic() - 1, silence=0.05)
