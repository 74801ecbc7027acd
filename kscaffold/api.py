"""What a script may use: the verbs of kscaffold as functions that return frozen reports.

Nothing here prints or asks. A step that takes time is reported to a `Progress` where one is given. What is no
success is a report that is not `ok`; KscaffoldError is raised where there is no answer at all, UsageError (a
KscaffoldError) where what was asked for can't be meant. Both have `code`, `what`, `cause` and `fix`.

Importing this module costs no more than its own text: what a function needs is imported by its first call,
and the types of the reports are looked up when somebody asks for them by name.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kscaffold.diagnosis.attempt import Listed
    from kscaffold.diagnosis.klog import Record
    from kscaffold.diagnosis.verdict import Judgement
    from kscaffold.explain.explain import Explanation
    from kscaffold.explain.explain_load import Walkthroughs
    from kscaffold.explain.walkthrough import LoadWalkthrough
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.execute import Executed
    from kscaffold.load.report import LoadReport
    from kscaffold.load.request import LoadRequest
    from kscaffold.load.sandbox import Sandbox
    from kscaffold.load.unload import UnloadReport
    from kscaffold.load.verbs.load import Loads
    from kscaffold.load.verbs.run import Run
    from kscaffold.make.report import BuildReport
    from kscaffold.module.check import CheckReport
    from kscaffold.scaffold.create.new import Created
    from kscaffold.testing.run import TestRun

__all__ = [
    "BuildReport",
    "CheckReport",
    "Created",
    "Executed",
    "Explanation",
    "Judgement",
    "Kernel",
    "KscaffoldError",
    "Listed",
    "LoadReport",
    "LoadWalkthrough",
    "Loads",
    "Progress",
    "Project",
    "Record",
    "Run",
    "Sandbox",
    "TestRun",
    "UnloadReport",
    "UsageError",
    "Walkthroughs",
    "build",
    "check",
    "choose_kernel",
    "execute",
    "explain",
    "explain_load",
    "find_kernel",
    "info",
    "kernels",
    "load",
    "new",
    "run",
    "stop_sandbox",
    "test",
    "unload",
]

# Where the types are.
_TYPES = {
    "BuildReport": "make.report",
    "CheckReport": "module.check",
    "Created": "scaffold.create.new",
    "Executed": "load.execute",
    "Explanation": "explain.explain",
    "Judgement": "diagnosis.verdict",
    "Kernel": "kernel.kernel",
    "Listed": "diagnosis.attempt",
    "LoadReport": "load.report",
    "LoadWalkthrough": "explain.walkthrough",
    "Loads": "load.verbs.load",
    "Record": "diagnosis.klog",
    "Run": "load.verbs.run",
    "Sandbox": "load.sandbox",
    "TestRun": "testing.run",
    "UnloadReport": "load.unload",
    "Walkthroughs": "explain.explain_load",
}
# Seconds that one load or unload may take in the kernel.
TIMEOUT = 10.0


def __getattr__(name: str) -> Any:
    if name not in _TYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"kscaffold.{_TYPES[name]}"), name)
    globals()[name] = found
    return found


def kernels() -> "list[Kernel]":
    """The kernels that are here: fetched, given by path, and the running one; the newest first."""
    from kscaffold.kernel import store  # start-up time

    return store.known()


def find_kernel(release: str | None = None) -> "Kernel | None":
    """The kernel that is here to use: a release or the unique beginning of one, else the default one, else
    the newest that can be used; None where there is none. Nothing is fetched.

    Raises UsageError KS530 where `release` means no kernel or several.
    """
    from kscaffold.kernel.choose import find_kernel as find  # start-up time

    return find(release)


def choose_kernel(
    release: str | None = None, *, offline: bool = False, progress: Progress = SILENT
) -> "Kernel":
    """As `find_kernel`; where there is none, the distribution's own is fetched, which needs the network and
    minutes. Raises KscaffoldError KS531 with `offline` then.
    """
    from kscaffold.kernel.choose import choose  # start-up time

    return choose(release, offline=offline, progress=progress)


class Project:
    """A directory with a Kbuild, or a Makefile that sets obj-m. What it builds is asked of make."""

    def __init__(self, directory: Path) -> None:
        """`directory`: the project's own, as `find` gives it."""
        self.directory = directory

    @classmethod
    def find(cls, directory: str | Path = ".") -> "Project":
        """The project that a directory lies in. Raises KscaffoldError KS101 where it lies in none, and KS102
        where make can't work at that path.
        """
        from kscaffold.project.find import find_project  # start-up time

        return cls(find_project(Path(directory)))

    def build(
        self,
        kernel: "str | Kernel | None" = None,
        *,
        jobs: int | None = None,
        progress: Progress = SILENT,
    ) -> "BuildReport":
        """As the function `build`, for this project."""
        return build(self.directory, kernel, jobs=jobs, progress=progress)

    def modules(self, kernel: "str | Kernel | None" = None) -> list[Path]:
        """The .ko files that it builds for a kernel, there or not yet."""
        from kscaffold.project.known import project_at  # start-up time

        return [target.ko for target in project_at(self.directory, _kernel(kernel)).targets]

    def __repr__(self) -> str:
        return f"Project({str(self.directory)!r})"


def build(
    project: "str | Path | Project" = ".",
    kernel: "str | Kernel | None" = None,
    *,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> "BuildReport":
    """Build the modules of a project for a kernel with the kernel's own Makefile, where they are not up to
    date. A build that fails is a report that is not `ok`, with `explanation` and `complaints`.

    `jobs`: compilers at once, None for one a processor. `progress.note` gets the compiler's complaints.
    """
    from kscaffold.make.build_project import build_project  # start-up time

    where = project if isinstance(project, Project) else Project.find(project)
    return build_project(where.directory, _kernel(kernel, progress), jobs=jobs, progress=progress)


def check(
    ko: str | Path,
    *,
    kernel: "str | Kernel | None" = None,
    parameters: "Sequence[str]" = (),
    cmdline: str = "",
) -> "CheckReport":
    """What is wrong with a .ko, and whether a kernel would take it. Nothing is built, loaded or fetched.

    `kernel`: None for the one that is here to use; without any, the file alone is looked at. `parameters`:
    `NAME=VALUE`, as for insmod. `cmdline`: what the kernel is started with.
    """
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.trust import predicted_trust
    from kscaffold.module.arguments import Parameters
    from kscaffold.module.check import check_module

    found = find_kernel(kernel) if kernel is None or isinstance(kernel, str) else kernel
    trust = predicted_trust(found, TargetRequest(cmdline=cmdline))
    words = Parameters.from_arguments(list(parameters)).words
    return check_module(Path(ko), kernel=found, arguments=words, trust=trust)


def info(ko: str | Path) -> dict[str, Any]:
    """What a .ko carries about itself, as modinfo shows: the document of `kscaffold info --json`."""
    from kscaffold.module.modinfo_view import info as read_info  # start-up time

    return read_info(Path(ko))


def new(
    name: str,
    directory: str | Path = ".",
    *,
    template: str | None = None,
    author: str | None = None,
    description: str | None = None,
    license: str = "GPL-2.0-only",
) -> "Created":
    """Make a new project `name` in a directory, from one of kscaffold's own templates.

    Raises UsageError for a name that the kernel or make can't take, and where it is there already.
    """
    from kscaffold.scaffold.create.new import ProjectRequest  # start-up time
    from kscaffold.scaffold.create.new import new as make

    return make(
        ProjectRequest(
            name,
            Path(directory),
            template=template,
            author=author,
            description=description,
            license=license,
        )
    )


def load(
    *kos: str | Path,
    directory: str | Path = ".",
    parameters: "Sequence[str]" = (),
    kernel: "str | Kernel | None" = None,
    host: bool = False,
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Loads":
    """Load .ko files, or what the project in `directory` builds, into the project's live sandbox, which stays
    (`stop_sandbox` ends it); with `host` into this machine's own kernel. Builds first when needed.

    `parameters`: `NAME=VALUE`, as for insmod. `timeout` of each load in seconds, in the kernel.
    """
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.verbs.load import load as load_modules

    where = TargetRequest(host=host, kernel=_release(kernel))
    return load_modules(_request(kos, directory, parameters), where, timeout=timeout, progress=progress)


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
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Run":
    """Load and unload .ko files, or what the project in `directory` builds, in pristine guests: one for each
    set of parameters (`NAME=VALUE`, as for insmod). Builds first when needed; no guest is left.

    `timeout` of each load in seconds, in the kernel.
    """
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.verbs.run import run as run_modules
    from kscaffold.module.arguments import kernel_string

    return run_modules(
        _request(kos, directory, ()),
        TargetRequest(kernel=_release(kernel)),
        [kernel_string(list(one)) for one in sets],
        timeout=timeout,
        progress=progress,
    )


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


def test(
    *paths: str | Path,
    directory: str | Path = ".",
    kernels: "Sequence[str]" = (),
    progress: Progress = SILENT,
) -> "TestRun":
    """Run the tests of the project in `directory` with pytest, or the standard examination where it has none,
    on each of `kernels`. `progress.note` gets what pytest prints.
    """
    from kscaffold.testing.run import TestRequest  # start-up time
    from kscaffold.testing.run import test as run_tests

    request = TestRequest(Path(directory), tuple(map(Path, paths)), tuple(kernels))
    return run_tests(request, progress.note, progress=progress)


def explain(topic: str | None = None, *, log: str | None = None) -> "Explanation":
    """What a stage, an errno, a code (KS204) or a word means, or what the lines of a kernel's log say;
    without either, what happens in a load. `known` is False where there is nothing to say.
    """
    from kscaffold.explain.explain import explain as ask  # start-up time

    return ask(topic, log=log)


def explain_load(
    *kos: str | Path,
    directory: str | Path = ".",
    parameters: "Sequence[str]" = (),
    kernel: "str | Kernel | None" = None,
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Walkthroughs":
    """Load as `run` does, once and without the unload; of each load the stages, and what each of them did."""
    from kscaffold.explain.explain_load import explain_load as walk  # start-up time
    from kscaffold.load.request import TargetRequest

    where = TargetRequest(kernel=_release(kernel))
    return walk(_request(kos, directory, parameters), where, timeout=timeout, progress=progress)


def _request(
    kos: "tuple[str | Path, ...]", directory: str | Path, parameters: "Sequence[str]"
) -> "LoadRequest":
    from kscaffold.elf.quick import existing  # start-up time
    from kscaffold.load.request import LoadRequest
    from kscaffold.module.arguments import Parameters

    where = Path(directory).absolute()
    files = tuple(existing(where / ko) for ko in kos)
    return LoadRequest(where, files, Parameters.from_arguments(list(parameters)))


def _release(kernel: "str | Kernel | None") -> str | None:
    return kernel if kernel is None or isinstance(kernel, str) else kernel.release


def _kernel(kernel: "str | Kernel | None", progress: Progress = SILENT) -> "Kernel":
    """The kernel itself, or the one that a release means."""
    return choose_kernel(kernel, progress=progress) if kernel is None or isinstance(kernel, str) else kernel
