"""Run a program of the user's in a sandbox: the live one, or a pristine one with the module loaded."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.diagnosis.crash import Complaint, may_have_complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.choose import choose
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.complaints import complaints_of, files_by_module
from kscaffold.load.load import load_all
from kscaffold.load.open_target import open_sandbox
from kscaffold.load.plan import plan_loads
from kscaffold.load.prediction import Predictor
from kscaffold.load.prewarm import prewarm_guest
from kscaffold.load.report import LoadReport
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.packages.busybox import busybox
from kscaffold.program.ready import copied, ready
from kscaffold.progress import SILENT, Progress
from kscaffold.project.find import home
from kscaffold.sandbox.agent.guest_root import guest_architecture
from kscaffold.sandbox.agent.program import GuestProgram, Hear
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import Execution, SandboxTarget

if TYPE_CHECKING:
    from kscaffold.arch.architecture import Architecture
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.make.report import BuildReport

_PATH = "/bin:/sbin:/usr/bin:/usr/sbin"


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A program to run. `words`: as they were typed, the program first. `directory`: the one that they are
    relative to, and that the program is in, in the guest too. `copies`: FILE or FILE:DEST. `environment`:
    what the program gets besides PATH, HOME and TERM. `input`: a file descriptor, or the bytes. `timeout` in
    seconds. `pass_signals`: what would end this process goes to the program.
    """

    words: tuple[str, ...]
    directory: Path
    copies: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    input: int | bytes = b""
    timeout: float = 60.0
    pass_signals: bool = False


@dataclass(frozen=True, slots=True)
class Executed:
    """A program that ran in a sandbox. `status`: its exit code, or the signal that killed it, negative; None
    where nobody knows. `errno`: why it did not start, or 0. `late`: it was killed at its deadline. `lost`:
    the guest did not outlive it. `complaints`: what the kernel complained of meanwhile; `place`: the line of
    source of the first one; `log`: all that the kernel said meanwhile. `loads`: of a pristine guest.
    `seconds`: the program took.
    """

    status: int | None = None
    errno: int = 0
    late: bool = False
    lost: bool = False
    complaints: tuple[Complaint, ...] = ()
    place: SourceLine | None = None
    log: tuple[Record, ...] = ()
    kernel: str = ""
    seconds: float = 0.0
    loads: tuple[LoadReport, ...] = ()
    failed_build: "BuildReport | None" = None

    @property
    def ok(self) -> bool:
        """It ended with 0, and the kernel has nothing to complain of."""
        return self.status == 0 and not self.complaints


def execute(
    request: ExecRequest,
    where: TargetRequest,
    hear: Hear,
    *,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> Executed:
    """Run a program in the live sandbox of its directory, which is started where none runs; or with `fresh`
    in a pristine one with the project's modules loaded, which ends with the program.

    `hear` gets its output. Raises as `ready` does, and KscaffoldError where there is no kernel or sandbox.
    """
    at = home(request.directory)
    if not fresh:
        with _live(at, where, progress) as (target, architecture):
            return run_in(target, request, architecture, hear, _Files(at), offline=where.offline)
    with prewarm_guest(where, progress) as begun:
        plan = plan_loads(LoadRequest(request.directory), begun.kernel, progress)
        if plan.failed:
            return Executed(failed_build=plan.failed)
        with contextlib.closing(start_guest(begun.plan, progress, begun.restoring)) as guest:
            target = SandboxTarget.from_guest(guest, begun.plan.machine.cmdline)
            outlook = Predictor(plan.kos, begun.kernel, progress.warn, begun.plan.trusted)
            loads = load_all(
                plan, target, timeout=10.0, outlook=outlook, seconds={}, tell=lambda report: None
            )
            if not all(report.ok for report in loads):
                return Executed(loads=tuple(loads), kernel=target.release)
            architecture = guest_architecture(begun.kernel.arch)
            files = {report.module: report.file for report in loads}
            done = run_in(target, request, architecture, hear, files, offline=where.offline)
            return replace(done, loads=tuple(loads))


def run_in(
    target: SandboxTarget,
    request: ExecRequest,
    architecture: "Architecture",
    hear: Hear,
    files: Mapping[str, ModuleFile],
    *,
    offline: bool = False,
) -> Executed:
    """Run a program in a guest that is open. `files`: the modules whose lines of source may be told, looked
    at only where the kernel complained.
    """
    program = bring(target, request, architecture, offline=offline)
    began = time.monotonic()
    done = target.execute(
        program,
        timeout=request.timeout,
        input=request.input,
        hear=hear,
        pass_signals=request.pass_signals,
    )
    seconds = time.monotonic() - began
    complaints, place = _complaints(done, target, files)
    return Executed(
        done.status,
        done.errno,
        done.late,
        done.lost,
        complaints,
        place,
        done.records,
        target.release,
        seconds,
    )


def bring(
    target: SandboxTarget, request: ExecRequest, architecture: "Architecture", *, offline: bool = False
) -> GuestProgram:
    """Put the program and all that it needs into the guest."""
    directory = request.directory.absolute()
    program = ready(request.words[0], directory, architecture)
    if program.busybox:
        target.install_busybox(busybox(offline=offline).read_bytes())
    for file in (*program.files, *copied(request.copies, directory)):
        target.install(file.content, file.place, file.mode)
    variables = {"PATH": _PATH, "HOME": "/", "TERM": "linux"}
    if program.library_path:
        variables["LD_LIBRARY_PATH"] = ":".join(program.library_path)
    return GuestProgram(program.path, request.words, str(directory), {**variables, **request.environment})


def _complaints(
    done: Execution, target: SandboxTarget, files: Mapping[str, ModuleFile]
) -> tuple[tuple[Complaint, ...], SourceLine | None]:
    if not may_have_complaint(done.records):
        return (), None
    return complaints_of(done.records, dict(files), None if done.lost else target.tainted())


@contextlib.contextmanager
def _live(
    at: Path, where: TargetRequest, progress: Progress
) -> Iterator[tuple[SandboxTarget, "Architecture"]]:
    """The live sandbox; one that runs keeps its kernel, where no other is asked for."""
    card = registry.find_sandbox(at)
    where = replace(where, kernel=where.kernel or (card.kernel if card else None))
    kernel: Kernel = choose(where.kernel, offline=where.offline, progress=progress)
    trusted = trusted_certificates(kernel, where, progress)
    if card is None:
        progress.note("no sandbox was running: one starts, without a module (kscaffold load loads it)")
    with open_sandbox(at, kernel, where, trusted, progress) as (target, _):
        yield target, guest_architecture(kernel.arch)


class _Files(Mapping[str, ModuleFile]):
    """The project's modules, looked for only when somebody asks: make takes its time."""

    def __init__(self, at: Path) -> None:
        self._at = at
        self._found: dict[str, ModuleFile] | None = None

    def _look(self) -> dict[str, ModuleFile]:
        if self._found is None:
            from kscaffold.project.ask import read_project  # start-up time: only complaints ask

            try:
                paths: Sequence[Path] = [target.ko for target in read_project(self._at, None).targets]
            except KscaffoldError:
                paths = sorted(self._at.glob("*.ko"))
            self._found = files_by_module(paths)
        return self._found

    def __getitem__(self, name: str) -> ModuleFile:
        return self._look()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._look())

    def __len__(self) -> int:
        return len(self._look())
