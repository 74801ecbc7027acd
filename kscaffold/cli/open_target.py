"""Which target a command acts on: found, started or refused, for the commands of load.py."""

import contextlib
import errno
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kscaffold import console
from kscaffold.cli import prewarm
from kscaffold.diagnosis import crash
from kscaffold.diagnosis.klog import Record, parse_kmsg, parse_text
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.load import plan as load_plan
from kscaffold.project.find import home as project_home
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.guest_root import OWN_MODULES
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import guest, snapshot
from kscaffold.targets.host import HostTarget
from kscaffold.targets.sandbox import TAINTED, SandboxTarget
from kscaffold.targets.target import Attempt, Kind, Listed, Target

_POLL = 0.3  # s between two looks of `logs -f`
_TRIES = 3
_MARK = re.compile(r"kscaffold: request [0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A target in use. `seconds`: its start took. `is_there`: False stands for a sandbox that is not."""

    target: Target
    seconds: float = 0.0
    is_there: bool = True
    kind: Kind = "sandbox"


def choose_kernel(spec: str | None, *, host: bool, offline: bool) -> Kernel:
    """The kernel to build for: the running one with --host."""
    if host:
        if spec:
            raise UsageError("KS004", "--host is this machine's running kernel: --kernel can't be given too")
        return choose(HostTarget(console.note).release, offline=True, say=console.step)
    return choose(spec, offline=offline, say=console.step)


def home_directory(directory: Path | None) -> Path:
    """The project a command is given in, or the directory itself."""
    return project_home(directory or Path.cwd())


@contextlib.contextmanager
def open_target(
    at: Path,
    chosen: Kernel | None,
    *,
    host: bool,
    cmdline: str,
    start: bool,
    trusted: tuple[bytes, ...] = (),
) -> Iterator[OpenTarget]:
    """The host, or the live sandbox of that directory, started now where that is wanted and needed.

    `trusted`: certificates (DER) that its kernel is to know besides its own.
    """
    if host:
        yield OpenTarget(HostTarget(console.note), kind="host")
        return
    if not start:
        with registry.connect(at) as connection:
            if connection is None:
                yield OpenTarget(_NoSandbox(), is_there=False)
            else:
                yield OpenTarget(_sandbox(connection))
        return
    assert chosen is not None
    plan = prewarm.plan_guest(chosen, cmdline, trusted)
    began = time.monotonic()
    if registry.find_sandbox(at) is None and not (snapshot.snapshots_dir() / plan.key).exists():
        console.step("Booting", f"{chosen.release} (once: later starts take a tenth of the time)")
    with contextlib.ExitStack() as stack:
        connection = _healthy(stack, at, plan)
        seconds = time.monotonic() - began
        if connection.started:
            times = ", ".join(f"{k} {v:.0f} ms" for k, v in connection.facts["times"].items())
            console.detail(f"guest: {times}; ready after {seconds * 1000:.0f} ms")
        yield OpenTarget(_sandbox(connection), seconds)


def _healthy(stack: contextlib.ExitStack, at: Path, plan: guest.Plan) -> registry.Connection:
    """The directory's sandbox, started where there is none. One that crashed or hung is replaced: a load
    into it would tell of the last module, not of this one.
    """
    for number in range(_TRIES):
        with contextlib.ExitStack() as mine:
            try:
                connection = mine.enter_context(registry.connect_or_start(at, plan, console.note))
                why = None if connection.started else _damage(_sandbox(connection))
            except KscaffoldError as error:
                if error.code not in ("KS607", "KS610") or number == _TRIES - 1:
                    raise
                continue  # it ended while this command waited for it
            if why is None:
                stack.push(mine.pop_all())
                return connection
            console.note(f"{why}; a new sandbox takes its place")
            registry.end_sandbox(connection, at)
    raise KscaffoldError("KS607", "the sandbox crashed again and again while this command waited for it")


def _damage(target: SandboxTarget) -> str | None:
    """Why this sandbox's kernel can't be trusted with another load, or None."""
    for module in target.modules():
        if module.state != "Live":
            return f"{module.name} never came back from {module.state.lower()}"
    taint = target.read(TAINTED).strip()
    return "the sandbox's kernel has crashed" if taint.isdigit() and int(taint) & crash.DIED else None


def _sandbox(connection: registry.Connection) -> SandboxTarget:
    facts = connection.facts
    return SandboxTarget(connection.channel, facts["kernel"], facts["accelerator"], facts.get("cmdline", ""))


class _NoSandbox(SandboxTarget):
    """What stands where no sandbox runs: nothing is loaded there."""

    def __init__(self) -> None:
        self.release, self.accelerator, self.cmdline = "", None, ""

    def modules(self) -> list[Listed]:
        """Nothing."""
        return []

    def unload(self, name: str, timeout: float) -> Attempt:
        """Refused as a kernel would."""
        return Attempt(errno.ENOENT)

    def read(self, path: str) -> bytes:
        """There are no files either."""
        raise FileNotFoundError(errno.ENOENT, "no sandbox", path)


def names_here(at: Path) -> set[str]:
    """The kernel's names of what the project here builds; empty outside a project."""
    return load_plan.module_names_of(at)


def own_modules(opened: OpenTarget, own: set[str]) -> list[Listed]:
    """The loaded modules that are the user's: of the project; outside of one, all that a sandbox did not
    begin with, and on the host those that did not come with its kernel.
    """
    if own:
        return [m for m in opened.target.modules() if m.name in own]
    if opened.kind == "host":
        return [m for m in opened.target.modules() if "O" in m.taints]
    return [m for m in opened.target.modules() if m.name not in OWN_MODULES]


def loaded_here(at: Path, module: str | None, opened: OpenTarget) -> list[str]:
    """What of this project is loaded, in the order to unload it. Raises KscaffoldError for nothing."""
    if module:
        return [module]
    own = names_here(at)
    listed = [m.name for m in own_modules(opened, own)]
    if not opened.is_there:
        return sorted(own) or [at.name]
    return listed or sorted(own) or [at.name]


@dataclass(frozen=True, slots=True)
class KernelLog:
    """A kernel's log. `loads`: the index from which on it is of the loads and unloads that were asked for."""

    records: list[Record]
    loads: int

    def last(self, count: int) -> "KernelLog":
        """Its last `count` records."""
        gone = max(0, len(self.records) - count)
        return KernelLog(self.records[gone:], max(0, self.loads - gone))


def read_log(at: Path, *, host: bool) -> KernelLog | None:
    """The log of the host, of the live sandbox, or what its keeper kept of the last one. None: no log."""
    if host:
        records = HostTarget(console.note).log()
        return KernelLog(records, len(records))
    with registry.connect(at) as connection:
        if connection is not None:
            return _of_sandbox(_sandbox(connection).log())
    kept, words = registry.last_log(at)
    if not kept and not words:
        if not (registry.sandbox_dir(at) / "lock").exists():
            return None
        console.note("the sandbox has ended, and its log could not be read before")
        return KernelLog([], 0)
    records = parse_kmsg(b"\n".join(protocol.records(kept)))
    # The console repeats lines that the log has; its own are those after them.
    known = {r.text for r in records}
    last = [r for r in parse_text(words) if r.text not in known and r.text.strip()]
    # A console does not tell the agent's lines from the kernel's.
    records += [replace(r, facility=1) if _MARK.fullmatch(r.text) else r for r in last]
    console.note("the sandbox has ended; this is its last log")
    return _of_sandbox(records)


def _of_sandbox(records: list[Record]) -> KernelLog:
    """A guest's log without the line that the agent writes before each load and unload."""
    marks = [i for i, r in enumerate(records) if r.facility and _MARK.fullmatch(r.text)]
    kept = [r for i, r in enumerate(records) if i not in set(marks)]
    return KernelLog(kept, marks[0] if marks else len(kept))


def follow_log(at: Path, show: Callable[[KernelLog], None], *, seen: int) -> None:
    """Hand over new records of the sandbox as they come, until Ctrl-C or its end.

    `seen`: the sequence number after which they are new.
    """
    first = registry.find_sandbox(at)
    while True:
        time.sleep(_POLL)
        try:
            with registry.connect(at) as connection:
                now = registry.find_sandbox(at)
                if connection is None or (first and now and now.keeper != first.keeper):
                    console.note("the sandbox has ended")
                    return
                whole = _of_sandbox(_sandbox(connection).log())
        except KscaffoldError as error:
            if error.code in ("KS606", "KS607", "KS610"):
                continue  # busy, or just gone: the next look says
            raise
        new = whole.last(sum(1 for r in whole.records if r.seq is not None and r.seq > seen))
        if new.records:
            seen = new.records[-1].seq or seen
            show(new)


def follow_host_log(show: Callable[[KernelLog], None]) -> None:
    """Hand over this machine's log, and what comes, until Ctrl-C."""
    HostTarget(console.note).follow(lambda new: show(KernelLog(new, len(new))))
