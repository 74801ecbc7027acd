"""A program of the user's, run in a guest that is open."""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.arch import table
from kscaffold.diagnosis.crash import Complaint, may_have_complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.stacks import TellingStack, telling_stack
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.addr2line import SourceLine, place_of_stack
from kscaffold.load.complaints import complaints_of
from kscaffold.load.report import LoadReport
from kscaffold.packages.busybox import busybox
from kscaffold.program.ready import GuestFile, ReadyProgram, copied, is_of_busybox, ready
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass, field
from kscaffold.sandbox.agent.guest_root import guest_architecture
from kscaffold.sandbox.agent.program import STDOUT, GuestProgram, OutputListener
from kscaffold.targets.sandbox import Execution, SandboxTarget

if TYPE_CHECKING:
    from kscaffold.make.report import BuildReport

ENVIRONMENT = {"PATH": "/bin:/sbin:/usr/bin:/usr/sbin", "HOME": "/", "TERM": "linux"}
"""What every program of a guest gets."""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A program to run. `words`: as they were typed, the program first. `directory`: the one that they are
    relative to, and that the program is in, in the guest too. `copies`: FILE or FILE:DEST. `environment`:
    what the program gets besides PATH, HOME and TERM. `input`: a file descriptor, or the bytes. `timeout` in
    seconds. `pass_signals`: what would end this process goes to the program. `terminal`: `input` is
    one, and the program gets one. `firmware`: FILE or FILE:NAME, for the guest.
    """

    words: tuple[str, ...]
    directory: Path
    copies: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    input: int | bytes = b""
    timeout: float = 60.0
    pass_signals: bool = False
    terminal: bool = False
    firmware: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Executed:
    """A program that ran in a sandbox. `status`: its exit code, or the signal that killed it, negative; None
    where nobody knows. `errno`: why it did not start, or 0. `late`: it was killed at its deadline. `lost`:
    the guest did not outlive it. `complaints`: what the kernel complained of meanwhile; `place`: the line of
    source of the first one; `log`: all that the kernel said meanwhile. `stdout`, `stderr`: what it wrote,
    where nobody else got that. `kernel`, `arch`: the release, and the machine as `uname -m` says it. `loads`:
    of a pristine guest. `seconds`: the program took. `stack`: the kernel's, of a program that was late:
    `place` is its line of source then, where no complaint has one; `stands`: a clause of where it is, or of
    who keeps it from its end. `ending`: a clause of how a lost guest's kernel ended, where that is known.
    """

    status: int | None = None
    errno: int = 0
    late: bool = False
    lost: bool = False
    complaints: tuple[Complaint, ...] = ()
    place: SourceLine | None = None
    log: tuple[Record, ...] = ()
    stdout: bytes = b""
    stderr: bytes = b""
    kernel: str = ""
    arch: str = ""
    seconds: float = 0.0
    loads: tuple[LoadReport, ...] = ()
    failed_build: "BuildReport | None" = None
    stack: str = ""
    stands: str = ""
    ending: str = ""

    @property
    def ok(self) -> bool:
        """Whether the program ended with 0, and the kernel complains of nothing."""
        return self.status == 0 and not self.complaints


@dataclass(frozen=True, slots=True)
class ProgramFiles:
    """What a guest gets for a program of the user's: all is read, and nothing is there yet. `copies`: files
    besides.
    """

    program: ReadyProgram
    copies: tuple[GuestFile, ...]


def read_program(request: ExecRequest, kernel: Kernel) -> ProgramFiles:
    """Find the program and what it needs, for a guest of this kernel. Raises as `ready` and `copied`: before
    a guest is started for what can't run in it.
    """
    directory = request.directory.absolute()
    program = ready(request.words[0], directory, guest_architecture(kernel.arch))
    return ProgramFiles(program, tuple(copied(request.copies, directory)))


def run_in(
    target: SandboxTarget,
    request: ExecRequest,
    program: GuestProgram,
    on_output: OutputListener | None,
    files: Mapping[str, ModuleFile],
) -> Executed:
    """Run a program that is in a guest. `files`: the modules whose lines of source may be told, looked at
    only where the kernel complained.
    """
    return run_program_in(
        target,
        program,
        request.input,
        request.timeout,
        files,
        on_output=on_output,
        pass_signals=request.pass_signals,
    )


def run_program_in(
    target: SandboxTarget,
    program: GuestProgram,
    input: int | bytes,
    timeout: float,
    files: Mapping[str, ModuleFile],
    *,
    on_output: OutputListener | None = None,
    pass_signals: bool = False,
) -> Executed:
    """As `run_in`, of a program that is in the guest."""
    began = time.monotonic()
    kept = {STDOUT: bytearray(), STDOUT + 1: bytearray()}

    def keep(stream: int, data: bytes) -> None:
        kept[stream] += data

    done = target.execute(
        program, timeout=timeout, input=input, on_output=on_output or keep, pass_signals=pass_signals
    )
    seconds = time.monotonic() - began
    complaints, place = _complaints(done, target, files)
    telling = telling_stack(done.stack)
    stands = place_of_stack(telling.text, files)
    if place is None or telling.name:  # a complaint is of who waits, too
        place = stands or place
    ending = ""
    if done.lost and not any(c.fatal for c in complaints):
        from kscaffold.load.ending import how_ended  # start-up time: most guests outlive a program

        said = how_ended(done.records, files.values())
        ending, place = (said[0], said[1]) if said else ("", place)
    return Executed(
        done.status,
        done.errno,
        done.late,
        done.lost,
        complaints,
        place,
        done.records,
        bytes(kept[STDOUT]),
        bytes(kept[STDOUT + 1]),
        target.release,
        target.arch,
        seconds,
        stack=telling.text,
        stands=_clause(telling, stands) if stands else "",
        ending=ending,
    )


def bring(
    target: SandboxTarget,
    request: ExecRequest,
    files: ProgramFiles,
    kernel: Kernel,
    *,
    offline: bool = False,
    progress: Progress = SILENT,
) -> GuestProgram:
    """Put the program and all that it needs into the guest."""
    program = files.program
    if program.busybox:
        commands = busybox_of(kernel, offline=offline, progress=progress)
        if is_of_busybox(program) and f"\0{Path(request.words[0]).name}\0".encode() not in commands:
            raise UsageError(
                "KS641",
                f"there is no program {request.words[0]}",
                cause=f"neither PATH here nor BusyBox has one for {guest_architecture(kernel.arch).title}",
                fix="kscaffold exec -- busybox, which lists its commands",
            )
        target.install_busybox(commands)
    elif program.commands:
        with contextlib.suppress(KscaffoldError):  # it may do without them
            target.install_busybox(busybox_of(kernel, offline=offline, progress=progress))
    for file in (*program.files, *files.copies):
        target.install(file.content, file.place, file.mode)
    variables = dict(ENVIRONMENT)
    if program.library_path:
        variables["LD_LIBRARY_PATH"] = ":".join(program.library_path)
    if request.terminal:
        variables["TERM"] = os.environ.get("TERM", "linux")
    variables |= request.environment
    directory = str(request.directory.absolute())
    return GuestProgram(program.path, request.words, directory, variables, request.terminal)


def busybox_of(kernel: Kernel, *, offline: bool, progress: Progress = SILENT) -> bytes:
    """BusyBox for a guest of this kernel: of its machine, from the suite that the kernel came from. Raises as
    `packages.busybox` does.
    """
    suite = kernel.origin if kernel.source == "fetched" else None
    machine = table.by_uname(kernel.arch)
    return reader.read_bytes(busybox(machine, suite, offline=offline, progress=progress))


def _complaints(
    done: Execution, target: SandboxTarget, files: Mapping[str, ModuleFile]
) -> tuple[tuple[Complaint, ...], SourceLine | None]:
    if not may_have_complaint(done.records):
        return (), None
    tainted = None if done.lost else target.tainted()
    return complaints_of(done.records, files, tainted, waiting=done.late)


def _clause(telling: TellingStack, place: SourceLine) -> str:
    does = f"{'runs' if telling.runs else 'waits'} at {place}"
    return f": {telling.name} {does}, and does not end either" if telling.name else f": its kernel {does}"
