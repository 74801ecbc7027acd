"""A guest of a script's own: a pristine kernel from `with` to its end."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from kscaffold.diagnosis.attempt import Listed
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.residue.kinds import Residue
from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.quick import existing
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.addr2line import SourceLine, place_of_stack
from kscaffold.load.complaints import complaints_of
from kscaffold.load.execute import ExecRequest, Executed, bring, read_program, run_in, run_program_in
from kscaffold.load.flaws import Flaw
from kscaffold.load.kernel_log import without_marks
from kscaffold.load.leftovers import Leftovers, sections_to_watch
from kscaffold.load.load import load_all
from kscaffold.load.plan import LoadPlan, plan_loads
from kscaffold.load.prediction import Predictor
from kscaffold.load.prewarm import Prewarmed, prewarm_guest
from kscaffold.load.report import LoadReport
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.stuck import Stuck, stuck_in
from kscaffold.load.unload import UnloadReport, module_of_word, unload
from kscaffold.module.arguments import Parameters
from kscaffold.progress import SILENT, Progress
from kscaffold.sandbox.agent.program import GuestProgram
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget

# Files that are there, whatever one would make: O_TRUNC and a second open(2) are for others.
_OF_THE_KERNEL = ("/dev/", "/proc/", "/sys/")
TIMEOUT = 10.0  # s that one load or unload may take in the kernel


class Sandbox:
    """A guest with a kernel of its own, no network and no file of the host; it ends with the `with` block.

    A module that crashes its kernel ends no more than the guest: the report says so, and a load after that
    raises KscaffoldError, or reports a kernel that crashed. Not for several threads at once.
    """

    def __init__(
        self,
        kernel: str | Kernel | None = None,
        *,
        cmdline: str = "",
        certs: Sequence[str] | None = None,
        offline: bool = False,
        devices: Sequence[str] = (),
        progress: Progress = SILENT,
    ) -> None:
        """Describe a guest. Nothing is started before `with`.

        `kernel`: a release or the beginning of one, None for the default. `cmdline`: added to what the
        guest's kernel is started with. `certs`: files of certificates that its kernel trusts. `offline`:
        fetch no kernel. `devices`: further devices on its PCI bus, as QEMU's -device takes them ("edu").
        """
        release = kernel.release if isinstance(kernel, Kernel) else kernel
        self._where = TargetRequest(
            kernel=release, cmdline=cmdline, certs=certs, offline=offline, devices=tuple(devices)
        )
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._running: tuple[Prewarmed, SandboxTarget] | None = None
        self._files: dict[str, ModuleFile] = {}
        self._seconds = 0.0

    def __enter__(self) -> "Sandbox":
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            begun = stack.enter_context(prewarm_guest(self._where, self._progress))
            guest = start_guest(begun.plan, self._progress, begun.restoring)
            stack.callback(guest.close)
            self._stack = stack.pop_all()
        target = SandboxTarget.from_guest(guest, begun.plan.machine.cmdline)
        self._running, self._files = (begun, target), {}
        self._seconds = time.monotonic() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = None
        self._stack.close()

    @property
    def kernel(self) -> Kernel:
        """The kernel that runs in it."""
        return self._open()[0].kernel

    def load(self, ko: str | Path, *, timeout: float = TIMEOUT, **parameters: object) -> LoadReport:
        """Load a .ko; parameters as keywords: `load("hello.ko", howmany=3, loud=True)`. A module that it
        needs and that lies beside it, or came with the kernel, is loaded first.

        `timeout` in seconds, in the kernel. The report is of the module that was not loaded, where one that
        `ko` needs was not. Raises UsageError for a .ko that is not there and for a value that the kernel
        can't be given.
        """
        begun, target = self._open()
        words = [f"{name}={_text(value)}" for name, value in parameters.items()]
        request = LoadRequest(Path(), (existing(Path(ko)),), Parameters.from_arguments(words))
        plan = self._prepared(plan_loads(request, begun.kernel, self._progress))
        predictor = Predictor(plan.kos, begun.kernel, self._progress.detail, begun.plan.trusted)
        reports = load_all(
            plan,
            target,
            timeout=timeout,
            predictor=predictor,
            seconds={"start": self._seconds},
            on_report=lambda report: None,
        )
        self._files |= {report.module: report.file for report in reports}
        return reports[-1]

    def unload(self, module: str | Path, *, timeout: float = TIMEOUT) -> UnloadReport:
        """Unload a module by its name or its file's; `timeout` in seconds, in the kernel."""
        _, target = self._open()
        name = module_of_word(str(module))
        return unload(name, target, timeout=timeout, ko=self._files.get(name))

    def log(self) -> list[Record]:
        """What the kernel's log holds, but for the line that marks each load and unload."""
        return without_marks(self._open()[1].log()).records

    def log_since_first_request(self) -> list[Record]:
        """As `log`, without what the kernel said before the first load, unload or program."""
        found = without_marks(self._open()[1].log())
        return found.records[found.loads :]

    def tainted(self) -> int | None:
        """kernel.tainted of the guest; None where it does not answer."""
        return self._open()[1].tainted()

    def read(self, path: str) -> bytes:
        """A file of the guest, such as `/proc/modules`. Raises OSError as open(2) and read(2) fail there."""
        return self._open()[1].read(path)

    def write(self, path: str, data: bytes) -> None:
        """Write to a file of the guest, made where it is not there. Raises OSError as open(2) and write(2)
        fail there.
        """
        self._open()[1].write(path, data, 0 if path.startswith(_OF_THE_KERNEL) else 0o644)

    def firmware(self, name: str, data: bytes) -> None:
        """Have a file where the guest's kernel looks for the firmware that drivers ask for by this name."""
        self._open()[1].add_firmware(name, data)

    def exec(
        self,
        program: str | Path,
        *arguments: str | Path,
        input: bytes = b"",
        copy: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Executed:
        """Run a program in the guest, as `kscaffold exec` does: one of this machine, with its libraries, a
        shell's script, a `.c` file, or one of BusyBox's. `copy`: files that it needs, FILE or FILE:DEST.
        `timeout` in seconds; then it is killed, and the report is `late`.

        Raises KscaffoldError for a program that can't be brought into the guest.
        """
        begun, target = self._open()
        words = tuple(str(word) for word in (program, *arguments))
        request = ExecRequest(words, Path.cwd(), tuple(copy), dict(env or {}), input, timeout)
        there = bring(target, request, read_program(request, begun.kernel), begun.kernel)
        return run_in(target, request, there, None, self._files)

    def pass_file(self, path: str, data: bytes | None = None, *, timeout: float = TIMEOUT) -> Executed:
        """Read a file of the guest into `stdout`, or write `data` to it, from a process of the guest's own: a
        driver may block, crash or hang in the call without harm to the guest's agent. `errno`: how the call
        failed.
        """
        words = ("read" if data is None else "write", path)
        program = GuestProgram("", words)
        return run_program_in(self._open()[1], program, data or b"", timeout, self._files)

    def residue(
        self, loads: Sequence[LoadReport], unloads: Sequence[UnloadReport]
    ) -> tuple[Residue, ...] | None:
        """What the modules of these loads left behind after these unloads, all of this guest; None where
        nobody can tell: a module is still in, another one was loaded for it, or the kernel is not well.
        """
        if not loads or any(report.dependencies for report in loads):
            return None
        kos = tuple({report.module: report.file for report in loads}.values())
        return Leftovers(kos, sections_to_watch(kos), self._open()[1]).find(loads, unloads)

    def modules(self) -> list[Listed]:
        """The loaded modules, as lsmod lists them; a guest begins with a few of its own (virtio_console)."""
        return self._open()[1].modules()

    def last_words(self) -> tuple[tuple[Record, ...], SourceLine | None, str]:
        """What the kernel said before its guest did not answer any more, the line of the modules that it was
        at, and its stack; empty where nobody knows.
        """
        last = self._open()[1].last_words
        if last is None:
            return (), None, ""
        _, place = complaints_of(last.log, self._files, None)
        return last.log, place or place_of_stack(last.stack, self._files), last.stack

    def stuck(self) -> tuple[Stuck, ...]:
        """The tasks that are busy in a module of these loads now, and where."""
        return stuck_in(self._open()[1], self._files)

    @property
    def looks_for_leaks(self) -> bool:
        """Whether bugs() tells of memory that is never freed, once the module is gone."""
        return False

    def bugs(self) -> tuple[Flaw, ...]:
        """What instruments found so far: a plain sandbox has none."""
        return ()

    def _prepared(self, plan: LoadPlan) -> LoadPlan:
        """The plan that is loaded in the place of the given one."""
        return plan

    def _open(self) -> tuple[Prewarmed, SandboxTarget]:
        if self._running is None:
            raise ValueError("the sandbox is not open: with Sandbox() as sandbox")
        return self._running


def _text(value: object) -> str:
    """A value as module parameters are written: Y and N of a bool, commas in an array."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)
