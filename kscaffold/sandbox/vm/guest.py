"""A running guest: QEMU started, the agent answering; restored from a snapshot, or booted and frozen."""

import contextlib
import mmap
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from kscaffold import process, timeouts
from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.files import paths
from kscaffold.kernel import store
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.agent.protocol import Answer, Channel, ChannelClosed, ChannelTimeout, Verb
from kscaffold.sandbox.vm import accelerator, qemu, snapshot
from kscaffold.sandbox.vm.qemu import Accelerator
from kscaffold.sandbox.vm.qmp import Monitor, MonitorError

Say = Callable[[str, str], None]

PROGRAM = "qemu-system-x86_64"
_LARGEST_FILE = 4 << 20  # bytes of console or of QEMU's own complaints
_BOOT_TRIES = 3
_RESET_TRIES = 3


@dataclass(slots=True)
class Guest:
    """One guest of ours. Close it: its QEMU ends then, or with this process.

    `restored`: it came from a snapshot. `times`: milliseconds since the start, by what had been reached.
    """

    qemu: process.Child
    channel: Channel
    place: Path
    release: str
    accelerator: Accelerator
    restored: bool
    times: dict[str, float] = field(default_factory=dict)

    def alive(self) -> bool:
        """QEMU still runs."""
        return self.qemu.poll() is None

    def was_reset(self) -> bool:
        """QEMU has ended, and by its guest's own doing: a panic, a triple fault. Not by a signal."""
        return process.wait(self.qemu, 2) and self.qemu.returncode == 0

    def console(self) -> str:
        """The kernel's last words, if it had any."""
        try:
            return (self.place / "console").read_text(errors="replace")
        except OSError:
            return ""

    def memory(self) -> tuple[int, int]:
        """Bytes resident in QEMU, and those of them that it shares: with its snapshot's file, and so with
        every other guest of it. (0, 0) when it has ended.
        """
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.qemu.pid}/smaps_rollup").read_text().splitlines()[1:]
            kb = {words[0].rstrip(":"): int(words[1]) for words in map(str.split, lines)}
            return kb["Rss"] << 10, (kb["Shared_Clean"] + kb["Shared_Dirty"]) << 10
        return 0, 0

    def close(self) -> None:
        """End it and remove what it had on disk."""
        process.end(self.qemu)
        self.channel.close()
        shutil.rmtree(self.place, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a guest is to be: everything found out that can be, before anything is started.

    `trusted`: certificates (DER) of keys that its kernel knows besides its own.
    """

    kernel: Kernel
    program: str
    machine: qemu.Machine
    key: str
    why_no_kvm: str | None
    probed: bool
    trusted: tuple[bytes, ...] = ()


def plan(kernel: Kernel, cmdline: str = "", trusted: tuple[bytes, ...] = ()) -> Plan:
    """Find QEMU, the kernel's image and the accelerator. Raises KscaffoldError for what is missing, and
    KS540 where the kernel can't be given the certificates in `trusted`.
    """
    program = process.need(PROGRAM)
    vmlinux = _image(kernel, trusted)
    probe = accelerator.probe(program)
    machine = qemu.Machine(
        vmlinux=vmlinux,
        accelerator=probe.accelerator,
        cmdline=" ".join(cmdline.split()),
    )
    cpu = qemu.CPU[probe.accelerator] + (_host_cpu() if probe.accelerator == "kvm" else "")
    key = snapshot.snapshot_key(program, kernel, machine, cpu)
    return Plan(kernel, program, machine, key, probe.why, probe.fresh, trusted)


def _image(kernel: Kernel, trusted: tuple[bytes, ...]) -> Path:
    if not trusted:
        return store.bootable(kernel)
    from kscaffold.kernel import trusted_image  # start-up time: few kernels need it

    return trusted_image.trusted_image(kernel, trusted)


@dataclass(slots=True)
class Restoring:
    """A guest that restores while its command does something else. `finish` it with `start`, or close it."""

    guest: Guest
    monitor: Monitor
    hello: int
    began: float
    finished: bool = False

    def finish(self) -> Guest:
        """Wait for the agent's first answer. Raises what tells that the snapshot can't be used."""
        self.finished = True  # whoever asks for it closes it, too
        timeout = timeouts.seconds("RESTORE_TIMEOUT")
        self.monitor.end_restore(timeout)
        self.guest.times["restored"] = _since(self.began)
        _check_hello(self.guest.channel.answer(self.hello, timeout))
        self.guest.times["answered"] = _since(self.began)
        self.monitor.close()
        return self.guest

    def close(self) -> None:
        """It is not wanted after all."""
        self.monitor.close()
        self.guest.close()


def head_start(planned: Plan) -> Restoring | None:
    """Begin to restore a guest, and wait for nothing; None where there is no snapshot to restore."""
    frozen = snapshot.find_snapshot(planned.key)
    if frozen is None:
        return None
    with contextlib.suppress(MonitorError, ChannelClosed, ChannelTimeout, OSError):
        return _begin_restore(planned, frozen)
    return None


def start(planned: Plan, say: Say, detail: Callable[[str], None], ahead: Restoring | None = None) -> Guest:
    """A guest in its pristine state: restored where there is a whole snapshot, else booted and frozen.

    `ahead`: what `head_start` began. Raises DeadlineError KS604 when the guest does not come up,
    KscaffoldError KS605 when QEMU fails. With KVM such a failure condemns it, and the guest is started
    without.
    """
    ahead = ahead or head_start(planned)
    if ahead is not None:
        try:
            return ahead.finish()
        except (MonitorError, ChannelClosed, ChannelTimeout, OSError) as error:
            ahead.close()
            # Whatever is wrong with it, a boot is the answer; the new snapshot takes its place.
            detail(f"the snapshot could not be restored ({error}); booting")
        except BaseException:
            ahead.close()
            raise
    try:
        return _boot_patiently(planned, say, detail)
    except KscaffoldError as error:
        if planned.machine.accelerator != "kvm" or error.code not in ("KS604", "KS605"):
            raise
        why = f"/dev/kvm passed the probe, but not with a real kernel: {error.what}"
        accelerator.mark_kvm_broken(planned.program, why)
        say("Without", f"KVM: {why}")
        return start(plan(planned.kernel, planned.machine.cmdline, planned.trusted), say, detail)


def _boot_patiently(planned: Plan, say: Say, detail: Callable[[str], None]) -> Guest:
    say("Booting", f"{planned.kernel.release} (once: later starts take a tenth of the time)")
    hung = reset = 0
    while True:
        try:
            return _boot(planned, detail)
        except DeadlineError:
            hung += 1
            if hung == _BOOT_TRIES:
                raise
            detail("the guest did not come up in time; trying again")
        except _ResetError:
            reset += 1
            if reset == _RESET_TRIES:
                raise
            detail("the guest's machine was reset while it booted; trying again")


class _ResetError(KscaffoldError):
    """The guest's kernel died, and so reset its machine, before the agent's first answer."""


def _boot(planned: Plan, detail: Callable[[str], None]) -> Guest:
    began = time.monotonic()
    timeout = timeouts.seconds("BOOT_TIMEOUT") / _BOOT_TRIES
    place = _place()
    memory = os.memfd_create("kscaffold-ram")
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, memory)
        undo.callback(shutil.rmtree, place, ignore_errors=True)
        start = _initramfs(planned, place)
        os.ftruncate(memory, planned.machine.memory << 20)
        machine = replace(planned.machine, initramfs=start, tsc_khz=_tsc_khz())
        # Not a file on a disk: writing to a mapped file on a full disk kills.
        guest, qmp = _spawn(planned, machine, Path(f"/proc/self/fd/{memory}"), False, place, [memory])
        undo.callback(guest.channel.close)
        undo.callback(process.end, guest.qemu)
        guest.times["spawned"] = _since(began)
        try:
            _greet(guest, timeout)
        except ChannelTimeout:
            raise DeadlineError(
                "KS604",
                f"the guest did not come up within {timeout:g} s",
                cause=_last_line(guest.console()) or "its kernel has said nothing",
                fix=_without(planned) or "give it longer: KSCAFFOLD_BOOT_TIMEOUT=120",
            ) from None
        except ChannelClosed:
            raise _broken(guest, planned) from None
        guest.times["booted"] = _since(began)
        _freeze(planned, guest, qmp, memory, detail)
        guest.times["frozen"] = _since(began)
        qmp.close()
        undo.pop_all()
        os.close(memory)
    return guest


def _freeze(planned: Plan, guest: Guest, qmp: Monitor, memory: int, detail: Callable[[str], None]) -> None:
    """Keep this guest's state for the next ones, and let it go on. Without room it just goes on."""
    stopped = False
    try:
        with os.fdopen(os.memfd_create("kscaffold-state"), "r+b") as state, snapshot.scratch_dir() as making:
            stopped = True
            qmp.save(state.fileno(), timeouts.seconds("BOOT_TIMEOUT"))
            state.seek(0)
            snapshot.write_snapshot(planned.key, planned.kernel, memory, state.read(), making)
    except OSError as error:
        detail(f"no snapshot was kept: {error.strerror or error}")
        if not stopped:
            return
    except MonitorError as error:
        raise KscaffoldError("KS605", "QEMU could not write the guest's state", cause=str(error)) from None
    timeout = timeouts.seconds("RESTORE_TIMEOUT")
    try:
        qmp.proceed(timeout)
        _greet(guest, timeout)
    except ChannelClosed:
        raise _broken(guest, planned) from None
    except (MonitorError, ChannelTimeout) as error:
        raise DeadlineError(
            "KS604",
            f"the guest did not go on within {timeout:g} s of being frozen",
            cause=str(error),
            fix="give it longer: KSCAFFOLD_RESTORE_TIMEOUT=60",
        ) from None


def _begin_restore(planned: Plan, frozen: snapshot.Snapshot) -> Restoring:
    began = time.monotonic()
    timeout = timeouts.seconds("RESTORE_TIMEOUT")
    place = _place()
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, place, ignore_errors=True)
        guest, qmp = _spawn(planned, planned.machine, frozen.ram, True, place, [])
        undo.callback(guest.channel.close)
        undo.callback(process.end, guest.qemu)
        guest.times["spawned"] = _since(began)
        with frozen.state.open("rb") as state:
            qmp.begin_restore(state.fileno(), timeout)
        # The greeting waits for the agent in the socket.
        hello = guest.channel.begin(Verb.HELLO, _hello(), timeout=timeout)
        undo.pop_all()
    return Restoring(guest, qmp, hello, began)


def _place() -> Path:
    """A directory for one guest's console and QEMU's complaints. Those of dead processes are swept."""
    guests = paths.runtime() / "guests"
    guests.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in guests.iterdir():
        if not process.is_running(left.name.partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=guests))


def _spawn(
    planned: Plan, machine: qemu.Machine, ram: Path, restore: bool, place: Path, keep: list[int]
) -> tuple[Guest, Monitor]:
    ours, theirs = socket.socketpair()
    monitor_ours, monitor_theirs = socket.socketpair()
    with theirs, monitor_theirs:
        wires = qemu.Wires(theirs.fileno(), monitor_theirs.fileno(), place / "console", ram, restore)
        child = process.spawn(
            qemu.argv(planned.program, machine, wires),
            keep=[theirs.fileno(), monitor_theirs.fileno(), *keep],
            errors=place / "qemu.log",
            largest_file=_LARGEST_FILE,
        )
    opened = Channel(ours, lambda: process.cpu_wait_seconds(child.pid))
    guest = Guest(child, opened, place, planned.kernel.release, machine.accelerator, restore)
    return guest, Monitor(monitor_ours)


def _hello() -> bytes:
    """The agent gets the time and a seed: a snapshot froze both."""
    return time.time_ns().to_bytes(8, "little") + os.urandom(32)


def _greet(guest: Guest, timeout: float) -> None:
    """The agent's first answer."""
    _check_hello(guest.channel.ask(Verb.HELLO, _hello(), timeout=timeout, grace=0))


def _check_hello(answer: Answer) -> None:
    if answer.status:
        raise ChannelClosed("the agent does not know us")


def _initramfs(planned: Plan, place: Path) -> qemu.Initramfs:
    """Write the initramfs, and say where it goes: into the middle of memory, where the kernel can be told
    (initrdmem=, 5.8 and later).
    """
    file, content = place / "initramfs", guest_root.build_initramfs(planned.kernel)
    file.write_bytes(content)
    with (
        planned.machine.vmlinux.open("rb") as image,
        mmap.mmap(image.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        told = mapped.find(b"initrdmem\0") >= 0
    return qemu.Initramfs(file, len(content), planned.machine.memory << 19 if told else None)


def _tsc_khz() -> int | None:
    """The speed of this machine's time stamp counter, measured; the agent can, and Python can't."""
    with guest_root.compiled_agent() as program:
        done = process.run([str(program)], timeout=5)
    return int(done.stdout) if done.stdout.strip().isdigit() else None


def _host_cpu() -> str:
    """The host's CPU model: with KVM the guest has its features."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:  # noqa: PTH123
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""


def _without(planned: Plan) -> str | None:
    """What to try first where a guest does not come up."""
    return f"leave out --cmdline {planned.machine.cmdline!r:.200}" if planned.machine.cmdline else None


def _broken(guest: Guest, planned: Plan) -> KscaffoldError:
    """QEMU ended, or its guest did, before the agent's first answer."""
    process.wait(guest.qemu, 1)
    said = _last_line((guest.place / "qemu.log").read_text(errors="replace"))
    cause = said or _last_line(guest.console()) or "it said nothing"
    kind = KscaffoldError if said or guest.qemu.returncode else _ResetError
    return kind("KS605", "the guest ended before its agent answered", cause=cause, fix=_without(planned))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A panic says more than what comes after it.
    lines = [line for line in lines if "Kernel panic - " in line] or lines
    return lines[-1][:300] if lines else ""


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000
