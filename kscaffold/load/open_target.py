"""Which target a load acts on: found, started, or replaced where it crashed."""

import contextlib
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from kscaffold.diagnosis import crash_heads
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel.choose import choose, fits, options_of, to_load
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.prewarm import plan_guest
from kscaffold.load.request import TargetRequest
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.targets.host import HostTarget
from kscaffold.targets.sandbox import TAINTED, SandboxTarget
from kscaffold.targets.target import Kind, Target

_TRIES = 3
_MOST_OTHERS = 50  # that take a new sandbox before it is this command's


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A target in use. `seconds`: its start took. `is_there`: False stands for a sandbox that is not.
    `crashed`: what a sandbox's kernel has crashed with before.
    """

    target: Target
    seconds: float = 0.0
    is_there: bool = True
    kind: Kind = "sandbox"
    crashed: str | None = None


def choose_kernel(where: TargetRequest, progress: Progress = SILENT) -> Kernel:
    """The kernel to build for: the running one on the host."""
    if where.host:
        return choose(HostTarget(progress.note).release, offline=True, progress=progress)
    return choose(where.kernel, offline=where.offline, progress=progress, programs=to_load())


def check_runs(at: Path, kernel: str | None, *, host: bool = False) -> None:
    """Raise UsageError KS534 where a kernel is named, and the live sandbox of that directory runs another;
    KS004 where the host's is meant.
    """
    where = TargetRequest(host, kernel)
    card = registry.find_sandbox(at) if where.kernel else None
    if card is not None and not fits(card.kernel, card.arch, where.kernel):
        there = "" if at == Path.cwd() else f" -C {shlex.quote(str(at))}"
        raise UsageError(
            "KS534",
            f"the sandbox of this project runs {card.name}",
            cause=f"{options_of(kernel)} names another kernel, and a project has one sandbox",
            fix=f"kscaffold load{there} {options_of(kernel)} starts one with that kernel in its place",
        )


@contextlib.contextmanager
def running_target(at: Path, *, host: bool, progress: Progress = SILENT) -> Iterator[OpenTarget]:
    """The host, or the live sandbox of that directory; nothing is started."""
    if host:
        yield OpenTarget(HostTarget(progress.note), kind="host")
        return
    with registry.connect(at) as connection:
        from kscaffold.load.live_crash import tell_crash, tell_last_crash  # start-up time: no load needs them

        if connection is None:
            from kscaffold.targets.absent import AbsentSandbox  # start-up time: no load needs it

            tell_last_crash(at, progress)
            yield OpenTarget(AbsentSandbox(), is_there=False)
        else:
            target = SandboxTarget.from_connection(connection)
            try:
                yield OpenTarget(target, crashed=tell_crash(at, target, progress))
            except KscaffoldError as error:
                if error.code == "KS610":  # its daemon has kept its last words
                    tell_last_crash(at, progress)
                raise


@contextlib.contextmanager
def open_target(
    at: Path,
    kernel: Kernel | None,
    where: TargetRequest,
    trusted: tuple[bytes, ...] = (),
    progress: Progress = SILENT,
    *,
    pristine: bool = False,
) -> Iterator[OpenTarget]:
    """The host, or the live sandbox of that directory, started now where none runs.

    `trusted`: certificates (DER) that its kernel is to know besides its own. `pristine`: a sandbox that
    another command has used is replaced.
    """
    if where.host:
        yield OpenTarget(HostTarget(progress.note), kind="host")
        return
    if kernel is None:
        raise ValueError("a sandbox has a kernel")
    with open_sandbox(at, kernel, where, trusted, progress, pristine=pristine) as (target, seconds):
        yield OpenTarget(target, seconds)


@contextlib.contextmanager
def open_sandbox(
    at: Path,
    kernel: Kernel,
    where: TargetRequest,
    trusted: tuple[bytes, ...],
    progress: Progress = SILENT,
    *,
    pristine: bool = False,
) -> Iterator[tuple[SandboxTarget, float]]:
    """The live sandbox of that directory, started now where none runs, and the seconds that took."""
    plan = plan_guest(kernel, where, trusted, progress)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as waiting:
            if registry.find_sandbox(at) is None and not (snapshot.snapshots_dir() / plan.key).exists():
                from kscaffold.sandbox.vm.boot import boot_work  # start-up time: once a kernel

                registry.begin_sandbox(at, plan)  # a fork, before a bar has a thread
                waiting.enter_context(progress.work(boot_work(plan)))
            connection = (_unused if pristine else _healthy)(stack, at, plan, progress)
        seconds = time.monotonic() - began
        if connection.started:
            if (registry.sandbox_dir(at) / f"{registry.PREVIOUS}log").exists():
                from kscaffold.load.live_crash import tell_last_crash  # start-up time: few sandboxes crash

                tell_last_crash(at, progress, previous=True)
            times = ", ".join(f"{k} {v:.0f} ms" for k, v in connection.facts["times"].items())
            progress.detail(f"guest: {times}; ready after {seconds * 1000:.0f} ms")
        target = SandboxTarget.from_connection(connection)
        if registry.has_copies(at):
            from kscaffold.load.live_copies import tell_news  # start-up time: few loads have an instrument

            tell_news(at, target, progress)
        yield target, seconds


def _healthy(stack: contextlib.ExitStack, at: Path, plan: Plan, progress: Progress) -> registry.Connection:
    """The directory's sandbox, started where there is none. One that crashed or hung is replaced: a load
    into it would tell of the last module, not of this one.
    """
    for number in range(_TRIES):
        with contextlib.ExitStack() as mine:
            try:
                connection = mine.enter_context(registry.connect_or_start(at, plan, progress.note))
                why = None if connection.started else _damage(SandboxTarget.from_connection(connection))
            except KscaffoldError as error:
                if error.code not in ("KS607", "KS610") or number == _TRIES - 1:
                    raise
                continue  # it ended while this command waited for it
            if why is None:
                stack.push(mine.pop_all())
                return connection
            from kscaffold.load.live_crash import tell_crash  # start-up time: few sandboxes crash

            with contextlib.suppress(KscaffoldError):
                tell_crash(at, SandboxTarget.from_connection(connection), progress)
            progress.note(f"{why}; a new sandbox takes its place, kscaffold logs --previous shows its log")
            registry.end_sandbox(connection, at)
    raise KscaffoldError("KS607", "the sandbox crashed again and again while this command waited for it")


def _unused(stack: contextlib.ExitStack, at: Path, plan: Plan, progress: Progress) -> registry.Connection:
    """The directory's sandbox, started now. One that another command loaded something into before this one
    could is replaced; who only looks (`logs -f`, `list`) may come first.
    """
    for _ in range(_MOST_OTHERS):
        with contextlib.ExitStack() as mine:
            connection = _healthy(mine, at, plan, progress)
            if connection.started or not _is_tainted(SandboxTarget.from_connection(connection)):
                stack.push(mine.pop_all())
                return connection
            registry.end_sandbox(connection, at)
    raise KscaffoldError("KS606", "other commands take each new sandbox", fix="wait for those commands")


def _is_tainted(target: SandboxTarget) -> bool:
    """Whether a module was loaded since its start that is not the kernel's own (TAINT_OOT_MODULE)."""
    return target.read(TAINTED).strip() != b"0"


def _damage(target: SandboxTarget) -> str | None:
    """Why this sandbox's kernel can't be trusted with another load, or None."""
    for module in target.modules():
        if module.state != "Live":
            return f"{module.name} never came back from {module.state.lower()}"
    taint = target.read(TAINTED).strip()  # raises where the sandbox has ended, as tainted() does not
    return "the sandbox's kernel has crashed" if taint.isdigit() and int(taint) & crash_heads.DIED else None
