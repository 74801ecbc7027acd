"""A guest of a script's own: a pristine kernel from `with` to its end."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from kscaffold.diagnosis.attempt import Listed
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.quick import existing
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.kernel_log import without_marks
from kscaffold.load.load import load_all
from kscaffold.load.plan import plan_loads
from kscaffold.load.prediction import Predictor
from kscaffold.load.prewarm import Prewarmed, prewarm_guest
from kscaffold.load.report import LoadReport
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.unload import UnloadReport, module_of_word, unload
from kscaffold.module.arguments import Parameters
from kscaffold.progress import SILENT, Progress
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget

TIMEOUT = 10.0  # s that one load or unload may take in the kernel


class Sandbox:
    """A guest with a kernel of its own, no network and no file of the host; it ends with the `with` block.

    A module that crashes its kernel ends no more than the guest: the report says so, and a load after that
    raises KscaffoldError, or is told of a kernel that crashed. Not for several threads at once.
    """

    def __init__(
        self,
        kernel: str | Kernel | None = None,
        *,
        cmdline: str = "",
        certs: Sequence[str] | None = None,
        offline: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        """Nothing is started before `with`.

        `kernel`: a release or the beginning of one, None for the default. `cmdline`: added to what the
        guest's kernel is started with. `certs`: files of certificates that its kernel trusts. `offline`:
        fetch no kernel.
        """
        release = kernel.release if isinstance(kernel, Kernel) else kernel
        self._where = TargetRequest(kernel=release, cmdline=cmdline, certs=certs, offline=offline)
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
        plan = plan_loads(request, begun.kernel, self._progress)
        outlook = Predictor(plan.kos, begun.kernel, self._progress.detail, begun.plan.trusted)
        reports = load_all(
            plan,
            target,
            timeout=timeout,
            outlook=outlook,
            seconds={"start": self._seconds},
            tell=lambda report: None,
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

    def read(self, path: str) -> bytes:
        """A file of the guest, such as `/proc/modules`. Raises OSError as open(2) and read(2) fail there."""
        return self._open()[1].read(path)

    def modules(self) -> list[Listed]:
        """The loaded modules, as lsmod lists them; a guest begins with a few of its own (virtio_console)."""
        return self._open()[1].modules()

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
