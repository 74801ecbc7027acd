"""A guest that runs: its QEMU, the channel to its agent, its console, its memory, its end."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.sweep import sweep_dead
from kscaffold.records import dataclass, field
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import Answer, ChannelClosed, Verb
from kscaffold.sandbox.agent.running_clock import RunningClock
from kscaffold.sandbox.vm import qemu
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.qemu import Accelerator
from kscaffold.sandbox.vm.qmp import Monitor, MonitorError

_END = 15.0  # s that a QEMU which has closed its channel may take to end, on a crowded machine
_PANIC = 10.0  # s for a panic with all of its log; its usual time is a quarter of a second
_ORDER = 10.0  # s for an order to QEMU; its usual time is a millisecond
LOG = "qemu.log"
"""The file of QEMU's complaints, in a guest's directory."""
_BY_SIGNAL = b"terminating on signal"  # of QEMU's, which exits with 0 then
_LARGEST_FILE = 4 << 20  # bytes of console or of QEMU's own complaints


@dataclass(slots=True)
class Guest:
    """One running guest. Close it: its QEMU ends then, or with this process.

    `directory`: holds its console (open as `console_fd`) and QEMU's complaints. `restored`: it came from a
    snapshot. `times`: milliseconds from its start to each step that it reached. `modules`: /proc/modules
    before the first load, once the agent has been greeted. `monitor`: QEMU's, None before the guest has
    started.
    """

    qemu: process.Child
    channel: Channel
    directory: Path
    release: str
    arch: str
    accelerator: Accelerator
    restored: bool
    console_fd: int
    times: dict[str, float] = field(default_factory=dict)
    modules: str = ""
    monitor: Monitor | None = None

    def alive(self) -> bool:
        """QEMU still runs."""
        return self.qemu.poll() is None

    def was_reset(self) -> bool:
        """QEMU has ended, and by its guest's own doing: a panic, a triple fault. Not by a signal."""
        if not process.wait(self.qemu, _END) or self.qemu.returncode != 0:
            return False
        try:
            return _BY_SIGNAL not in reader.read_bytes(self.directory / LOG, _LARGEST_FILE)
        except (OSError, KscaffoldError):
            return True

    def console(self) -> str:
        """The kernel's last words, if it had any: through a descriptor, for who is in another PID namespace
        takes this process for a dead one, and may sweep the directory.
        """
        try:
            return os.pread(self.console_fd, _LARGEST_FILE, 0).decode(errors="replace")
        except OSError:
            return ""

    def interrogate(self) -> None:
        """End a guest that does not answer, and have its console tell where its kernel was, where the
        machine has an interrupt for that: the kernel panics of it, whatever it is at.
        """
        machine = table.by_uname(self.arch)
        if self.monitor is not None and machine is not None and machine.panics_on_nmi:
            with contextlib.suppress(MonitorError):
                self.monitor.inject_nmi(_PANIC)
                process.wait(self.qemu, _PANIC)
        process.end(self.qemu)

    def stand(self) -> None:
        """Stand still, and its clock, until `go_on`; where QEMU does not hear, nothing happens."""
        if self.monitor is not None:
            with contextlib.suppress(MonitorError):
                self.monitor.stop(_ORDER)

    def go_on(self) -> None:
        """Run again after `stand`."""
        if self.monitor is not None:
            with contextlib.suppress(MonitorError):
                self.monitor.proceed(_ORDER)

    @contextlib.contextmanager
    def standing_between(self) -> Iterator[None]:
        """Stand still whenever no request is asked of it: what this process does meanwhile, and for how long
        others have the processors, takes none of the guest's time.
        """
        self.channel.between = (self.go_on, self.stand)
        try:
            yield
        finally:
            self.channel.between = None
            self.go_on()

    def memory(self) -> tuple[int, int]:
        """Bytes resident in QEMU, and how many of them it shares with its snapshot's file, and so with the
        other guests of that snapshot. (0, 0) when QEMU has ended.
        """
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.qemu.pid}/smaps_rollup").read_text().splitlines()[1:]
            kb = {words[0].rstrip(":"): int(words[1]) for words in map(str.split, lines)}
            return kb["Rss"] << 10, (kb["Shared_Clean"] + kb["Shared_Dirty"]) << 10
        return 0, 0

    def close(self) -> None:
        """End the guest and remove its files."""
        process.end(self.qemu)
        self.channel.close()
        if self.monitor is not None:
            self.monitor.close()
        if self.console_fd >= 0:
            os.close(self.console_fd)
            self.console_fd = -1
        shutil.rmtree(self.directory, ignore_errors=True)


def new_directory() -> Path:
    """A directory for the console and QEMU's complaints of one guest. Those of dead processes are swept."""
    guests = paths.runtime() / "guests"
    paths.make_own(guests)
    sweep_dead(guests, "")
    directory = guests / f"{os.getpid()}-{os.urandom(6).hex()}"
    directory.mkdir(mode=0o700)
    return directory


def spawn(
    planned: Plan, machine: qemu.Machine, ram: Path | int, restore: bool, directory: Path
) -> tuple[Guest, Monitor]:
    """Start QEMU, connected to a guest that is not yet greeted. `ram`: the file behind its memory, or a
    descriptor of ours, to which the guest's writes go.
    """
    keep = [ram] if isinstance(ram, int) else []
    file = Path(f"/proc/self/fd/{ram}") if isinstance(ram, int) else ram
    ours, theirs = socket.socketpair()
    monitor_ours, monitor_theirs = socket.socketpair()
    with theirs, monitor_theirs:
        ends = (theirs.fileno(), monitor_theirs.fileno())
        wires = qemu.Wires(*ends, directory / "console", file, restore, private=not keep)
        console = os.open(wires.console, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            child = process.spawn(
                qemu.argv(planned.program, machine, wires),
                keep=[theirs.fileno(), monitor_theirs.fileno(), *keep],
                errors=directory / LOG,
                largest_file=_LARGEST_FILE,
            )
        except BaseException:
            os.close(console)
            raise
    opened = Channel(ours, RunningClock.of(child.pid))
    kernel = planned.kernel
    guest = Guest(
        child, opened, directory, kernel.release, kernel.arch, machine.accelerator, restore, console
    )
    return guest, Monitor(monitor_ours)


def greet(guest: Guest, timeout: float) -> None:
    """Greet the agent and wait for its answer: `timeout` in seconds. Raises as the channel does."""
    take_greeting(guest, guest.channel.ask(Verb.HELLO, greeting(), timeout=timeout, grace=0))


def greeting() -> bytes:
    """What a greeting gives the agent: the time and a random seed, because a snapshot froze both."""
    return time.time_ns().to_bytes(8, "little") + os.urandom(32)


def take_greeting(guest: Guest, answer: Answer) -> None:
    """Take what the agent says of its guest. Raises ChannelClosed for an answer that is not our agent's."""
    if answer.status:
        raise ChannelClosed("the agent does not know us")
    guest.modules = answer.payload.decode(errors="replace")


def milliseconds_since(began: float) -> float:
    """Milliseconds since a moment of time.monotonic()."""
    return (time.monotonic() - began) * 1000
