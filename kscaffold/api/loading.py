"""Modules loaded and unloaded, and programs run beside them."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.api.kernel import release_of
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.execute import Executed
    from kscaffold.load.request import LoadRequest
    from kscaffold.load.unload import UnloadReport
    from kscaffold.load.verbs.load import Loads
    from kscaffold.load.verbs.run import Run

# Seconds that one load or unload may take in the kernel.
TIMEOUT = 10.0


def load(
    *kos: str | Path,
    directory: str | Path = ".",
    parameters: "Sequence[str]" = (),
    kernel: "str | Kernel | None" = None,
    host: bool = False,
    sanitize: bool = False,
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Loads":
    """Load .ko files, or what the project in `directory` builds, into the project's live sandbox, which stays
    (`stop_sandbox` ends it); with `host` into this machine's own kernel. Builds first when needed.

    `parameters`: `NAME=VALUE`, as for insmod. `sanitize`: load copies that look for bugs; the report's
    `sanitizer`, and `findings` of each unload, have what they found. `timeout` of each load in seconds, in
    the kernel.
    """
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.verbs.load import load as load_modules

    where = TargetRequest(host=host, kernel=release_of(kernel))
    request = request_of(kos, directory, parameters)
    request = request.with_sanitizer(where) if sanitize else request
    return load_modules(request, where, timeout=timeout, progress=progress)


def unload(
    *names: str,
    directory: str | Path = ".",
    host: bool = False,
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "tuple[UnloadReport, ...]":
    """Unload modules by name, or all that the project in `directory` builds, from where `load` loaded them;
    look on for a while where the modules' imports say that something may be left running.

    `timeout` of each unload in seconds, in the kernel.
    """
    from kscaffold.load.verbs.unload import UnloadRequest  # start-up time
    from kscaffold.load.verbs.unload import unload as unload_modules
    from kscaffold.project.find import home

    request = UnloadRequest(home(Path(directory)), names, host=host)
    return unload_modules(request, timeout=timeout, progress=progress)


def stop_sandbox(directory: str | Path = ".") -> bool:
    """End the live sandbox of the project in `directory`. False: none was running."""
    from kscaffold.project.find import home  # start-up time
    from kscaffold.sandbox.live.registry import stop_sandbox as stop

    return stop(home(Path(directory)))


def run(
    *kos: str | Path,
    directory: str | Path = ".",
    sets: "Sequence[Sequence[str]]" = ((),),
    kernel: "str | Kernel | None" = None,
    instruments: "Sequence[str]" = (),
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Run":
    """Load and unload .ko files, or what the project in `directory` builds, in pristine guests: one for each
    set of parameters (`NAME=VALUE`, as for insmod). Builds first when needed; no guest is left.

    `instruments`: `sanitize`, `faults`, `faults=all`, as the command's options; the report's `sanitizer` and
    `faults` have what they found. `timeout` of each load in seconds, in the kernel.
    """
    from kscaffold.load.request import Instruments, TargetRequest  # start-up time
    from kscaffold.load.verbs.run import run as run_modules
    from kscaffold.module.arguments import kernel_string
    from kscaffold.records import replace

    request = replace(request_of(kos, directory, ()), instruments=Instruments.named(instruments))
    where = TargetRequest(kernel=release_of(kernel))
    words = [kernel_string(list(one)) for one in sets]
    done = run_modules(request, where, words, timeout=timeout, progress=progress)
    if request.instruments.faults == "all":
        from kscaffold.testing.faults import with_later_calls  # start-up time

        return with_later_calls(done, request, where, progress)
    return done


def execute(
    *words: str | Path, directory: str | Path = ".", input: bytes = b"", kernel: str | None = None,
    fresh: bool = False, timeout: float = 60.0, progress: Progress = SILENT,
) -> "Executed":  # fmt: skip
    """Run a program of yours with its arguments in the live sandbox of the project in `directory`, or with
    `fresh` in a pristine one with its modules loaded; killed, and `late`, after `timeout` seconds."""
    from kscaffold.load.execute import ExecRequest  # start-up time
    from kscaffold.load.request import TargetRequest
    from kscaffold.load.verbs.exec import execute as execute_program

    request = ExecRequest(tuple(map(str, words)), Path(directory).absolute(), input=input, timeout=timeout)
    return execute_program(request, TargetRequest(kernel=kernel), None, fresh=fresh, progress=progress)


def request_of(
    kos: "tuple[str | Path, ...]", directory: str | Path, parameters: "Sequence[str]"
) -> "LoadRequest":
    """The modules of a request: .ko files that are there, or what a project builds."""
    from kscaffold.elf.quick import existing  # start-up time
    from kscaffold.load.request import LoadRequest
    from kscaffold.module.arguments import Parameters

    where = Path(directory).absolute()
    files = tuple(existing(where / ko) for ko in kos)
    return LoadRequest(where, files, Parameters.from_arguments(list(parameters)))
