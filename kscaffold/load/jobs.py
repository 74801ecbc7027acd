"""What a command is to load: the words it was given, or what its project builds, built where needed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kscaffold.build.build import BuildReport, build
from kscaffold.build.freshness import fresh_targets
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel.kernel import Kernel
from kscaffold.module import quick
from kscaffold.module.arguments import kernel_string
from kscaffold.project.ask import read_project
from kscaffold.project.find import find_project
from kscaffold.project.project import Project, kernel_name

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `words`: .ko files (no `=`) and `NAME=VALUE` parameters, as typed."""

    words: tuple[str, ...]
    directory: Path
    module: str | None = None
    build: bool = True

    @property
    def files(self) -> list[str]:
        """The .ko files that are named."""
        return [word for word in self.words if "=" not in word]


@dataclass(frozen=True, slots=True)
class Jobs:
    """What is to be loaded, in order. `home`: the directory whose sandbox it is. `seconds`: building took.

    `failed`: the build that did not succeed; there is nothing to load then.
    """

    home: Path
    kos: tuple[Path, ...]
    parameters: str
    seconds: float
    failed: BuildReport | None = None


def prepare(wish: Wish, kernel: Kernel | None, say: Say, show: Callable[[str], None]) -> Jobs:
    """Find the .ko files of a wish, and build them first where their sources are newer.

    Raises UsageError for a .ko that is not there, a module the project does not have, or a parameter the
    kernel can't be given; KscaffoldError when there is no project, or nothing built with `build` off.
    """
    parameters = kernel_string([word for word in wish.words if "=" in word])
    if wish.files:
        kos = tuple(_existing(wish.directory / file) for file in wish.files)
        return Jobs(home(wish.directory), kos, parameters, 0.0)
    if kernel is None:
        raise ValueError("a project is built for a kernel")
    began = time.monotonic()
    directory = find_project(wish.directory)
    project = fresh_targets(directory, kernel)
    if project is None:
        project = read_project(directory, kernel)
        if wish.build:
            report = build(project, kernel, say=say, show=show)
            if not report.ok:
                return Jobs(directory, (), parameters, time.monotonic() - began, report)
    meant = _meant(project, wish.module)
    for ko in meant:
        if not ko.exists():
            raise KscaffoldError("KS281", f"{ko.name} is not built", fix="kscaffold build")
    return Jobs(directory, _in_order(meant), parameters, time.monotonic() - began)


def home(directory: Path) -> Path:
    """The directory whose sandbox a command here means: the project's, else this one."""
    try:
        return find_project(directory)
    except KscaffoldError:
        return directory.resolve()


def _existing(ko: Path) -> Path:
    if ko.is_dir():
        raise UsageError("KS281", f"{ko} is a directory", fix="name a .ko, or cd there and name none")
    if not ko.is_file():
        raise UsageError("KS281", f"{ko} is not there", fix="kscaffold build, or name a .ko that exists")
    return ko


def _meant(project: Project, module: str | None) -> list[Path]:
    targets = [t for t in project.targets if module is None or kernel_name(t.name) == kernel_name(module)]
    if not targets:
        there = ", ".join(t.name for t in project.targets) or "none"
        raise UsageError("KS109", f"this project builds no module {module}", cause=f"it builds: {there}")
    return [t.ko for t in targets]


def _in_order(kos: list[Path]) -> tuple[Path, ...]:
    """Modules after those they depend on; make's order otherwise."""
    if len(kos) < 2:
        return tuple(kos)
    by_name = {quick.module_name(ko): ko for ko in kos}
    done: dict[str, Path] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in done or name in above or name not in by_name:
            return
        for needed in quick.depends(by_name[name]):
            add(needed, (*above, name))
        done[name] = by_name[name]

    for name in by_name:
        add(name, ())
    return tuple(done.values())


def names_of(home: Path) -> set[str]:
    """The kernel's names of what the project in `home` builds; empty where there is none."""
    try:
        return {kernel_name(target.name) for target in read_project(home, None).targets}
    except KscaffoldError:
        return set()
