"""Nothing hangs, nothing is left, nothing is believed that was not proven."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kscaffold.arch.x86_64 import ARCHITECTURE as X86_64
from kscaffold.elf.module_file import ModuleFile
from kscaffold.files.atomic import write_whole
from kscaffold.files.lock import wait_for_lock
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.load import load as load_one
from kscaffold.load.open_target import open_target
from kscaffold.load.request import TargetRequest
from kscaffold.load.unload import unload as unload_one
from kscaffold.module.arguments import NO_PARAMETERS
from kscaffold.progress import SILENT
from kscaffold.sandbox.agent import guest_root, protocol
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import qemu
from kscaffold.sandbox.vm.boot import boot_once, write_initramfs
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built

pytestmark = pytest.mark.sandbox


@pytest.fixture
def kernel61() -> Kernel:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    return need_kernel("6.1")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A directory of its own, and so a sandbox of its own."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def _ours() -> list[int]:
    """QEMUs of this test: their console's file is in its runtime directory."""
    runtime = os.environ["XDG_RUNTIME_DIR"].encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):  # glob() itself looks at what stands behind a star
        with contextlib.suppress(OSError):
            text = (process / "cmdline").read_bytes()
            if b"qemu-system" in text.partition(b"\0")[0] and runtime in text:
                found.append(int(process.name))
    return found


def _parent(pid: int) -> int | None:
    """The process that started another one; None where that has ended meanwhile."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def _gone(seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while _ours() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _ours()


def _none_listed(seconds: float) -> bool:
    """The daemon takes its sandbox off the list a moment after the guest has ended."""
    deadline = time.monotonic() + seconds
    while registry.all_sandboxes() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not registry.all_sandboxes()


def _command(*argv: str, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "kscaffold", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )


_ENDS = [
    # module, verdict, stage, exit status
    ("minus", "init-failed", "init", 1),
    ("endless", "hung", "init", 1),
    ("deaf", "hung", "init", 1),
    ("sleeper", "hung", "init", 1),
    ("panics", "crashed", "init", 1),
    ("oopses", "crashed", "init", 1),
    ("triple", "crashed", "init", 1),
]


@pytest.mark.parametrize(("name", "verdict", "stage", "status"), _ENDS)
def test_every_bad_end_is_told_and_leaves_nothing(ks, kernel61, here, name, verdict, stage, status):
    ran = ks("run", "--json", "-k", kernel61.release, "--timeout", "3", built(kernel61) / f"{name}.ko")
    assert (ran.status, ran.json["verdict"], ran.json["stage"]) == (status, verdict, stage)
    assert ran.json["loaded"] is False and ran.json["ok"] is False
    if name != "triple":  # which gives the kernel no chance to hand out its log
        own = {"minus": "init ran", "panics": "about to", "oopses": "about to"}.get(name, "begin")
        assert own in [r["text"] for r in ran.json["log"]]
    if name in (
        "endless",
        "deaf",
    ):  # told by the agent, and by the last words of a kernel that can't be asked
        assert ran.json["cause"].startswith("init loops or waits without end, at ")
    assert _gone(1)
    assert list((Path(os.environ["XDG_RUNTIME_DIR"]) / "kscaffold" / "guests").iterdir()) == []


@pytest.mark.parametrize("name", ["endless", "sleeper", "panics", "oopses", "triple"])
def test_the_next_load_works_after_any_end(ks, kernel61, here, name):
    modules = built(kernel61)
    bad = ks("load", "--json", "-k", kernel61.release, "--timeout", "3", modules / f"{name}.ko")
    assert bad.status == 1 and bad.json["verdict"] in ("hung", "crashed")
    logs = ks("logs")
    assert logs.status == 0
    if name != "triple":
        assert ("begin" if name in ("endless", "sleeper") else "about to") in logs.out
    good = ks("load", "--json", "-k", kernel61.release, modules / "hello.ko")
    assert good.status == 0 and good.json["verdict"] == "loaded"
    assert len(_ours()) == 1 and len(registry.all_sandboxes()) == 1


def test_a_deadline_of_unload_is_told(ks, kernel61, here, monkeypatch):
    monkeypatch.setenv("KSCAFFOLD_UNLOAD_TIMEOUT", "2")
    ran = ks("run", "--json", "-k", kernel61.release, built(kernel61) / "exithang.ko")
    assert ran.status == 1 and ran.json["verdict"] == "hung"
    assert ", at exithang.c:" in ran.json["cause"]
    ran = ks("run", "--json", "-k", kernel61.release, built(kernel61) / "exitoops.ko")
    assert ran.status == 1 and ran.json["verdict"] == "crashed"
    assert _gone(1)


def test_a_module_cannot_forge_a_verdict(ks, kernel61, here):
    """It prints the channel's words, the agent's mark and a crash's, and returns an error."""
    hello = json.dumps({"verdict": "loaded"})
    ran = ks("run", "--json", "-k", kernel61.release, built(kernel61) / "forger.ko", f"say={hello}")
    assert ran.status == 1
    assert ran.json["verdict"] == "init-failed" and ran.json["returned"] == -22
    assert ran.json["complaints"] == []
    assert hello in [r["text"] for r in ran.json["log"]]


def test_a_flood_is_cut_and_both_ends_are_kept(ks, kernel61, here):
    count = 100_000
    ran = ks(
        "run",
        "--json",
        "-k",
        kernel61.release,
        "--timeout",
        "120",
        built(kernel61) / "flood.ko",
        f"n={count}",
    )
    assert ran.status == 0 and ran.json["verdict"] == "loaded"
    lines = [r["text"] for r in ran.json["log"] if "long story" in r["text"]]
    assert lines[0] == "line 0 of a long story"
    assert lines[-1] == f"line {count - 1} of a long story"
    assert len(lines) < count
    assert "left out in the middle" in ran.err
    assert len(ran.out) < 2_000_000


def test_a_flood_that_goes_on_after_the_load_keeps_nobody_waiting(kernel61, here):
    with contextlib.closing(start_guest(plan_vm(kernel61))) as guest:
        target = SandboxTarget.from_guest(guest, "")
        ko = ModuleFile.open(built(kernel61) / "chatter.ko")
        assert load_one(ko, NO_PARAMETERS, target, timeout=120).ok
        # It is read once round the kernel's ring, not until the flood has ended.
        assert 0 < guest.channel.ask(protocol.Verb.LOG, timeout=120).status <= 1 << 17
        gone = unload_one("chatter", target, timeout=120, ko=ko)
        assert gone.ok and gone.log[-1].text == "silence"


def test_a_killed_run_takes_its_guest_along(kernel61, here):
    ko = str(built(kernel61) / "sleeper.ko")
    for delay in (0.1, 0.3, 0.6, 1.5):
        command = _command("run", "-k", kernel61.release, "--timeout", "30", ko)
        time.sleep(delay)
        command.kill()
        command.communicate()
        assert _gone(5), delay


def test_an_interrupted_run_ends_with_130_and_leaves_nothing(kernel61, here):
    command = _command("run", "-k", kernel61.release, "--timeout", "30", str(built(kernel61) / "sleeper.ko"))
    while not _ours():
        assert command.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=20)
    assert command.returncode == 130, err.decode()
    assert b"Traceback" not in err
    assert _gone(1)


def test_a_killed_load_leaves_a_sandbox_that_is_listed_and_stops(ks, kernel61, here):
    ko = str(built(kernel61) / "sleeper.ko")
    for delay in (0.15, 0.4, 1.0):
        command = _command("load", "-k", kernel61.release, "--timeout", "3", ko)
        time.sleep(delay)
        command.kill()
        command.communicate()
        time.sleep(0.3)
        parents = {_parent(qemu) for qemu in _ours()} - {None}
        # A daemon is listed before it starts its QEMU.
        assert parents <= {info.daemon for info in registry.all_sandboxes()}
        ks("sandbox", "stop")
        assert _gone(10) and registry.all_sandboxes() == []
    good = ks("load", "--json", "-k", kernel61.release, built(kernel61) / "hello.ko")
    assert good.json["verdict"] == "loaded"


def test_a_killed_daemon_takes_its_guest_along_and_is_off_the_list(ks, kernel61, here):
    hello = built(kernel61) / "hello.ko"
    assert ks("load", "-k", kernel61.release, hello).status == 0
    (card,) = registry.all_sandboxes()
    os.kill(card.daemon, signal.SIGKILL)
    assert _gone(5)
    assert ks("sandbox", "status", "--json").json["sandboxes"] == []
    assert ks("load", "-k", kernel61.release, hello).status == 0


def test_what_a_killed_daemon_left_is_swept_though_nobody_waits_for_it(ks, kernel61, here):
    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    dead = ended.pid
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)  # it stays, as one that nobody waits for
    guests = Path(os.environ["XDG_RUNTIME_DIR"]) / "kscaffold" / "guests"
    (guests / f"{dead}-abc").mkdir(parents=True)
    (guests / f"{os.getppid()}-abc").mkdir()
    assert ks("run", "-k", kernel61.release, built(kernel61) / "hello.ko").status == 0
    assert [p.name for p in guests.iterdir()] == [f"{os.getppid()}-abc"]
    ended.wait()


def test_a_sandbox_killed_in_the_middle_is_lost_and_never_success(kernel61, here):
    command = _command(
        "load", "--json", "-k", kernel61.release, "--timeout", "20", str(built(kernel61) / "sleeper.ko")
    )
    while not (registry.all_sandboxes() and registry.all_sandboxes()[0].qemu):
        assert command.poll() is None
        time.sleep(0.02)
    time.sleep(0.7)
    os.kill(registry.all_sandboxes()[0].qemu, signal.SIGKILL)
    out, _ = command.communicate(timeout=20)
    document = json.loads(out)
    assert (command.returncode, document["verdict"], document["ok"]) == (69, "lost", False)
    assert registry.all_sandboxes() == []


def test_sandboxes_end_by_themselves(ks, kernel61, here, monkeypatch):
    hello = built(kernel61) / "hello.ko"
    monkeypatch.setenv("KSCAFFOLD_SANDBOX_IDLE", "2")
    assert ks("load", "-k", kernel61.release, hello).status == 0
    assert len(_ours()) == 1
    assert _gone(20) and _none_listed(5)
    monkeypatch.delenv("KSCAFFOLD_SANDBOX_IDLE")
    monkeypatch.setenv("KSCAFFOLD_SANDBOX_LIMIT", "5")
    assert ks("load", "-k", kernel61.release, hello).status == 0
    deadline = time.monotonic() + 30
    while _ours():  # however busy it is kept
        ks("list")
        assert time.monotonic() < deadline
    assert _none_listed(5)


def test_two_loads_at_once_share_one_sandbox(kernel61, here):
    ko = str(built(kernel61) / "hello.ko")
    both = [_command("load", "--json", "-k", kernel61.release, ko) for _ in range(2)]
    answers = [json.loads(c.communicate(timeout=120)[0]) for c in both]
    assert sorted(a["verdict"] for a in answers) == ["loaded", "refused"]
    assert {a["errno"] for a in answers} == {None, "EEXIST"}
    assert len(registry.all_sandboxes()) == 1


def test_who_waits_too_long_is_told_for_whom(ks, kernel61, here, monkeypatch):
    first = _command("load", "-k", kernel61.release, "--timeout", "6", str(built(kernel61) / "sleeper.ko"))
    while not (registry.all_sandboxes() and registry.all_sandboxes()[0].qemu):
        assert first.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    monkeypatch.setenv("KSCAFFOLD_BUSY_TIMEOUT", "0.5")
    second = ks("list", "--json")
    assert second.status == 69 and second.json["error"]["code"] == "KS606"
    assert str(first.pid) in second.json["error"]["message"]
    first.communicate(timeout=30)


def test_another_kernel_command_line_is_another_guest(ks, kernel61, here):
    hello = built(kernel61) / "hello.ko"
    ran = ks("run", "--json", "-k", kernel61.release, "--cmdline", "module_blacklist=hello", hello)
    assert (ran.json["verdict"], ran.json["errno"]) == ("refused", "EPERM")
    ran = ks("run", "--json", "-k", kernel61.release, hello)
    assert ran.json["verdict"] == "loaded"


def test_a_device_is_on_the_bus_of_each_guest(ks, kernel61, here):
    hello = built(kernel61) / "hello.ko"
    assert ks("load", "-k", kernel61.release, "--device", "edu", hello).status == 0
    seen = []
    for again in range(2):  # the live guest, which a snapshot was taken of; then a restored one
        cat = ("exec", "-k", kernel61.release, "--device", "edu", "--", "cat")
        seen.append(ks(*cat, "/sys/bus/pci/devices/0000:00:10.0/resource").out.split()[:2])
        if not again:
            assert ks("sandbox", "stop").status == 0
    begin, end = (int(word, 16) for word in seen[0])
    assert seen[0] == seen[1] and end - begin == 0xFFFFF  # edu's registers have an address
    refused = ks("run", "--json", "-k", kernel61.release, "--device", "nosuch", hello)
    assert refused.json["error"]["code"] == "KS605" and "'nosuch'" in refused.json["error"]["cause"]
    assert refused.json["error"]["fix"] == "leave out --device 'nosuch'"
    assert ks("run", "--arch", "s390x", "--device", "edu", hello, "--json").json["error"]["code"] == "KS004"


@pytest.mark.parametrize(("seconds", "code"), [("0.5", "KS604"), ("60", "KS605")])
def test_a_guest_that_does_not_boot_is_an_answer_in_time(ks, kernel61, here, monkeypatch, seconds, code):
    """It has no time to, or its kernel panics without an init."""
    monkeypatch.setenv("KSCAFFOLD_BOOT_TIMEOUT", seconds)
    hello = built(kernel61) / "hello.ko"
    for verb in ("run", "load"):
        began = time.monotonic()
        ran = ks(verb, "--json", "-k", kernel61.release, "--cmdline", "rdinit=/nothing", hello)
        assert (ran.status, ran.json["error"]["code"]) == (69, code), ran.out
        assert ran.json["error"]["fix"] == "leave out --cmdline 'rdinit=/nothing'"
        assert time.monotonic() - began < 30
        assert _gone(1) and registry.all_sandboxes() == []


def test_memory_of_a_live_sandbox(ks, kernel61, here):
    assert ks("load", "-k", kernel61.release, built(kernel61) / "hello.ko").status == 0
    (card,) = registry.all_sandboxes()
    assert 0 < card.rss < 350e6


def test_the_guest_runs_programs_and_keeps_files(kernel61, here):
    with contextlib.closing(start_guest(plan_vm(kernel61))) as guest:
        target = SandboxTarget.from_guest(guest, "")
        with guest_root.compiled_agent(X86_64) as program:
            target.write("/tmp/agent", program.read_bytes())
        status, said = target.run(["/tmp/agent"], timeout=20)
        assert status == 0 and int(said) > 1000  # what the agent does where it is not PID 1
        target.write("/tmp/note", b"x" * 300_000)
        assert target.read("/tmp/note") == b"x" * 300_000
        target.write("/proc/sys/kernel/printk", b"4 4 1 7\n", 0)
        assert target.read("/proc/sys/kernel/printk").split()[0] == b"4"
        with pytest.raises(FileNotFoundError):
            target.read("/nothing")
        assert "init" in target.read("/proc/1/comm").decode()
        assert target.run(["/nothing"], timeout=5)[0] == 127 << 8
        assert [m.name for m in target.modules()][:1] == ["virtio_console"]


def test_several_guests_share_the_memory_of_their_snapshot(ks, kernel61, here):
    sets = [word for number in range(6) for word in ("-p", f"n={number}")]
    ran = ks("run", "--json", "-k", kernel61.release, built(kernel61) / "flood.ko", *sets)
    assert ran.status == 0
    results = ran.json["results"]
    assert [r["parameters"] for r in results] == [f"n={number}" for number in range(6)]
    assert [sum("long story" in x["text"] for x in r["log"]) for r in results] == list(range(6))
    assert _gone(1)


def test_the_boot_survives_a_busy_machine(kernel61, monkeypatch, tmp_path):
    """A few cold boots beside three busy loops; the benchmark does a hundred."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL)
        for _ in range(3)
    ]
    try:
        plan = plan_vm(kernel61, "kscaffold.test=busy")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for _ in range(3):
            guest = boot_once(plan, SILENT)
            assert not guest.restored and guest.alive()
            guest.close()
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_a_daemon_takes_nonsense_calmly(ks, kernel61, here):
    assert ks("load", "-k", kernel61.release, built(kernel61) / "hello.ko").status == 0
    address = str(registry.sandbox_dir(here) / "keeper.sock")
    for nonsense in (
        b"",
        b"\0" * 7,
        os.urandom(4096),
        protocol.REQUEST.pack(protocol.MAGIC, 2, 1, 0, 0, 1 << 30, 0),
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(address)
            sock.sendall(nonsense)
    assert ks("list").out.splitlines()[1].startswith("hello ")


# What needs no guest.


def test_agent_and_channel_agree():
    """The numbers of verbs, kinds and structures are written in two languages."""
    text = (ROOT / "kscaffold/sandbox/agent/agent.c").read_text()
    numbers = {k: int(v) for k, v in re.findall(r"\b([A-Z]+) = (\d+)\b", text.partition("struct request")[0])}
    for verb in protocol.Verb:
        if verb < 100:
            assert numbers[verb.name] == verb, verb
    for kind in (protocol.Kind.ACK, protocol.Kind.END, protocol.Kind.OUTPUT):
        assert numbers[kind.name] == kind
    assert f"MAGIC = {protocol.MAGIC:#x}" in text

    def fields(name: str) -> str:
        body = re.search(rf"struct {name} {{(.*?)}};", text, re.S)
        assert body
        code = re.sub(r"/\*.*?\*/", "", body[1], flags=re.S)
        letters = {"u32": "I", "u64": "Q", "s32": "i"}
        return "<" + "".join(
            letters[kind] * (names.count(",") + 1) for kind, names in re.findall(r"([us]\d\d) ([^;]+);", code)
        )

    assert struct.calcsize(fields("request")) == protocol.REQUEST.size == 32
    assert fields("request") == protocol.REQUEST.format
    assert fields("answer") == protocol.ANSWER.format
    assert fields("outcome") == protocol.OUTCOME.format


def test_an_answer_must_repeat_the_nonce_of_its_request():
    ours, theirs = socket.socketpair()
    with theirs, contextlib.closing(Channel(ours)) as opened:

        def answer() -> None:
            request = theirs.recv(4096)
            nonce = protocol.REQUEST.unpack_from(request)[2]
            theirs.sendall(protocol.frame(protocol.Kind.END, nonce ^ 1, 0, b"of an older request"))
            theirs.sendall(protocol.frame(protocol.Kind.ACK, nonce))
            theirs.sendall(protocol.frame(protocol.Kind.END, nonce, 0, b"right"))

        helper = threading.Thread(target=answer)
        helper.start()
        assert opened.ask(protocol.Verb.LIST, timeout=5).payload == b"right"
        helper.join()


@pytest.mark.parametrize(
    "nonsense", [b"KSC", b"\xff" * 200, protocol.ANSWER.pack(protocol.MAGIC, 2, 0, 0, 1 << 31)]
)
def test_nonsense_from_a_guest_is_no_answer(nonsense):
    ours, theirs = socket.socketpair()
    with contextlib.closing(Channel(ours)) as opened:
        theirs.sendall(nonsense)
        theirs.close()
        with pytest.raises(protocol.ChannelClosed):
            opened.receive(0, time.monotonic() + 2)


def test_the_command_line_of_qemu():
    start = qemu.Initramfs(Path("/i,j"), 5000, 0x8000000)
    machine = qemu.Machine(X86_64, Path("/k/vmlinux"), "tcg", start, tsc_khz=2_000_000, cmdline="a=1")
    wires = qemu.Wires(5, 6, Path("/run/console"), Path("/c/a,b"), restore=True, private=True)
    argv = qemu.argv("qemu", machine, wires)
    joined = " ".join(argv)
    assert argv[0] == "qemu"
    assert "mem-path=/c/a,,b,share=off" in joined and "-incoming defer" in joined
    assert "tsc_early_khz=2000000" in joined and joined.count("-netdev") == joined.count("-virtfs") == 0
    assert qemu.kernel_cmdline(machine).endswith(" a=1")
    boot = qemu.argv("qemu", machine, qemu.Wires(5, 6, Path("/r"), Path("/c"), restore=False, private=False))
    assert "share=on" in " ".join(boot) and "-incoming" not in boot
    # Told to the kernel where it can be, else left to QEMU; a restore has none.
    assert "loader,file=/i,,j,addr=0x8000000,force-raw=on" in boot and "-initrd" not in boot
    assert " initrdmem=0x8000000,5000 memmap=1M$0x8000000 a=1" in qemu.kernel_cmdline(machine)
    left = qemu.argv("qemu", replace(machine, initramfs=qemu.Initramfs(Path("/i"), 5000, None)), wires)
    assert left[left.index("-initrd") + 1] == "/i" and "initrdmem" not in " ".join(left)
    # A bus for devices only where there is one: each boot looks what is on it.
    assert "pcie=on" not in joined
    more = " ".join(qemu.argv("qemu", replace(machine, devices=("edu", "pci-testdev")), wires))
    assert "pcie=on" in more and "-device edu,addr=0x10 -device pci-testdev,addr=0x11 -incoming" in more
    assert [qemu.pci_address(n) for n in (0, 1)] == ["0000:00:10.0", "0000:00:11.0"]
    none = " ".join(qemu.argv("qemu", replace(machine, initramfs=None), wires))
    assert "-initrd" not in none and "loader" not in none and "initrdmem" not in none


def test_the_initramfs_has_a_place_that_no_firmware_uses(kernel61, tmp_path):
    planned = plan_vm(kernel61)
    start = write_initramfs(planned, tmp_path)
    assert start == qemu.Initramfs(tmp_path / "initramfs", start.file.stat().st_size, 128 << 20)
    older = tmp_path / "vmlinux"
    older.write_bytes(b"initrd=\0initrdmem=")  # no word of its own in it
    machine = replace(planned.machine, vmlinux=older)
    assert write_initramfs(replace(planned, machine=machine), tmp_path).at is None


@pytest.mark.parametrize("name", ["sleeper", "endless"])
def test_a_whole_command_has_a_deadline_where_one_is_set(kernel61, here, name):
    began = time.monotonic()
    ko = str(built(kernel61) / f"{name}.ko")
    command = _command(
        "run", "--json", "-k", kernel61.release, "--timeout", "60", ko, KSCAFFOLD_COMMAND_TIMEOUT="2"
    )
    out, err = command.communicate(timeout=40)
    assert command.returncode == 69, err.decode()
    assert json.loads(out)["error"]["code"] == "KS008"
    assert time.monotonic() - began < 20
    assert _gone(2)


def test_who_looks_for_a_sandbox_sweeps_nothing_of_one_that_is_being_started(here):
    """A dead daemon's card was read, then the next daemon's was removed: it ran, and nobody could find it."""
    directory = registry.sandbox_dir(here)
    directory.mkdir(parents=True, mode=0o700)
    card = directory / "card.json"
    look = (
        "import sys\nfrom kscaffold.sandbox.live.registry import find_sandbox\n"
        "while True: find_sandbox(sys.argv[1])"
    )
    watchers = [
        subprocess.Popen([sys.executable, "-c", look, str(here)], env={**os.environ, "PYTHONPATH": str(ROOT)})
        for _ in range(2)
    ]
    try:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            write_whole(card, "{}")  # of one that has ended
            with (directory / "lock").open("wb") as lock:
                assert wait_for_lock(lock.fileno(), 10)
                write_whole(card, json.dumps({"keeper": 1}))
                time.sleep(0.001)
                assert card.exists()
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()


def test_a_reload_takes_no_sandbox_that_another_command_has_used(here, kernel61):
    """One that came between the end of the old sandbox and the start of the new one; who only looked may
    have.
    """
    where = TargetRequest(kernel=kernel61.release)
    ko = ModuleFile.open(built(kernel61) / "hello.ko")
    numbers = []
    for pristine, loads in ((False, False), (False, False), (True, True), (True, False)):
        with open_target(here, kernel61, where, pristine=pristine) as opened:
            card = registry.find_sandbox(here)
            assert card
            numbers.append(card.daemon)
            assert not loads or load_one(ko, NO_PARAMETERS, opened.target, timeout=60).ok
    first, *looked, last = numbers
    assert looked == [first, first] and last != first
    assert registry.stop_sandbox(here)
