"""Which target a command acts on: found, started or refused, for the commands of load.py."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kscaffold import console
from kscaffold.diagnosis.klog import Record, parse_kmsg, parse_text
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.load import jobs
from kscaffold.sandbox import channel, live, session, snapshot
from kscaffold.target.base import Kind, Listed, Target
from kscaffold.target.host import HostTarget
from kscaffold.target.sandbox import SandboxTarget

_POLL = 0.3  # s between two looks of `logs -f`


@dataclass(slots=True)
class Opened:
    """A target in use. `seconds`: its start took. `is_there`: False stands for a sandbox that is not."""

    target: Target
    seconds: float = 0.0
    is_there: bool = True
    kind: Kind = "sandbox"
    abandoned: bool = field(default=False)

    def abandon(self) -> None:
        """Nothing more can be done there: the sandbox is to end when the command does."""
        self.abandoned = True


def kernel(spec: str | None, *, host: bool, offline: bool) -> Kernel:
    """The kernel to build for: the running one with --host."""
    if host:
        if spec:
            raise UsageError("KS004", "--host is this machine's running kernel: --kernel can't be given too")
        return choose(HostTarget(console.note).release, offline=True, say=console.step)
    return choose(spec, offline=offline, say=console.step)


def planned(chosen: Kernel, cmdline: str) -> session.Plan:
    """The guest for a kernel; says once why it is not accelerated."""
    plan = session.plan(chosen, cmdline)
    if plan.probed and plan.why_no_kvm:
        console.note(f"running without KVM: {plan.why_no_kvm}")
    elif plan.why_no_kvm:
        console.detail(f"running without KVM: {plan.why_no_kvm}")
    return plan


def home(directory: Path | None) -> Path:
    """The project a command is given in, or the directory itself."""
    return jobs.home(directory or Path.cwd())


@contextlib.contextmanager
def target(at: Path, chosen: Kernel | None, *, host: bool, cmdline: str, start: bool) -> Iterator[Opened]:
    """The host, or the live sandbox of that directory, started now where that is wanted and needed."""
    if host:
        yield Opened(HostTarget(console.note), kind="host")
        return
    if not start:
        with live.connect(at) as connection:
            if connection is None:
                yield Opened(_NoSandbox(), is_there=False)
            else:
                yield Opened(_sandbox(connection, live.find(at)))
        return
    assert chosen is not None
    plan = planned(chosen, cmdline)
    began = time.monotonic()
    if live.find(at) is None and not (snapshot.place() / plan.key).exists():
        console.step("Booting", f"{chosen.release} (once: later starts take a tenth of the time)")
    with live.connect_or_start(at, plan, console.note) as connection:
        seconds = time.monotonic() - began
        if connection.started:
            times = ", ".join(f"{k} {v:.0f} ms" for k, v in connection.facts["times"].items())
            console.detail(f"guest: {times}; ready after {seconds * 1000:.0f} ms")
        opened = Opened(_sandbox(connection, live.find(at)), seconds)
        yield opened
    if opened.abandoned:
        live.stop(at)


def _sandbox(connection: live.Connection, card: live.Card | None) -> SandboxTarget:
    facts = connection.facts
    return SandboxTarget(
        connection.channel, facts["kernel"], facts["accelerator"], card.cmdline if card else ""
    )


class _NoSandbox(SandboxTarget):
    """What stands where no sandbox runs: nothing is loaded there."""

    def __init__(self) -> None:
        self.release, self.accelerator, self.cmdline = "", None, ""

    def modules(self) -> list[Listed]:
        """Nothing."""
        return []


def names_here(at: Path, opened: Opened | None) -> set[str]:
    """The kernel's names of what the project here builds; empty outside a project."""
    return jobs.names_of(at)


def loaded_here(at: Path, module: str | None, opened: Opened) -> list[str]:
    """What of this project is loaded, in the order to unload it. Raises KscaffoldError for nothing."""
    if module:
        return [module]
    own = names_here(at, opened)
    listed = [m.name for m in opened.target.modules() if (m.name in own if own else "O" in m.taints)]
    if not opened.is_there:
        return sorted(own) or [at.name]
    return listed or sorted(own) or [at.name]


def log(at: Path, *, host: bool) -> list[Record] | None:
    """The log of the host, of the live sandbox, or what its keeper kept of the last one. None: no log."""
    if host:
        return HostTarget(console.note).log()
    with live.connect(at) as connection:
        if connection is not None:
            return SandboxTarget(connection.channel, "", "", "").log()
    kept, words = live.last_log(at)
    if not kept and not words:
        return None
    records = parse_kmsg(b"\n".join(channel.records(kept)))
    # The console repeats lines that the log has; its own are those after them.
    known = {r.text for r in records}
    records += [r for r in parse_text(words) if r.text not in known and r.text.strip()]
    console.note("the sandbox has ended; this is its last log")
    return records


def follow(at: Path, seen: list[Record], show: Callable[[list[Record]], None], *, host: bool) -> None:
    """Hand over new records as they come, until Ctrl-C or the end of the sandbox."""
    last = max((_order(r) for r in seen), default=-1.0)
    while True:
        time.sleep(_POLL)
        try:
            if host:
                records = HostTarget(console.note).log()
            else:
                with live.connect(at) as connection:
                    if connection is None:
                        console.note("the sandbox has ended")
                        return
                    records = SandboxTarget(connection.channel, "", "", "").log()
        except KscaffoldError as error:
            if error.code in ("KS606", "KS607", "KS610"):
                continue  # busy, or just gone: the next look says
            raise
        new = [r for r in records if _order(r) > last]
        if new:
            last = max(_order(r) for r in new)
            show(new)


def _order(r: Record) -> float:
    """What grows from record to record: the sequence number, or the time where dmesg has no number."""
    return float(r.seq) if r.seq is not None else r.time or 0.0
