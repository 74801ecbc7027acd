"""What a command is to load: the words it was given, or what its project builds, built where needed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.elf.module_name import normalize_name
from kscaffold.elf.quick import existing
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.load import dependencies as load_dependencies
from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.module.arguments import kernel_string
from kscaffold.project.find import find_project, home
from kscaffold.project.project import Project

if TYPE_CHECKING:
    from kscaffold.make.report import BuildReport

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What was asked for. `words`: .ko files (no `=`) and `NAME=VALUE` parameters, as typed.

    `dependencies`: what the modules need is to be loaded before them.
    """

    words: tuple[str, ...]
    directory: Path
    module: str | None = None
    build: bool = True
    dependencies: bool = True

    @property
    def files(self) -> list[str]:
        """The .ko files that are named."""
        return [word for word in self.words if "=" not in word]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is to be loaded, in order. `home`: the directory whose sandbox it is. `seconds`: building took.

    `needs`: what is to be loaded before each of them, where it is not loaded yet. `failed`: the build that
    did not succeed; there is nothing to load then.
    """

    home: Path
    kos: tuple[Path, ...]
    parameters: str
    seconds: float
    failed: "BuildReport | None" = None
    needs: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict)


def plan_loads(wish: LoadRequest, kernel: Kernel | None, say: Say, show: Callable[[str], None]) -> LoadPlan:
    """Find the .ko files of a wish, and build them first where their sources are newer.

    Raises UsageError for a .ko that is not there, a module the project does not have, or a parameter the
    kernel can't be given; KscaffoldError when there is no project, or nothing built with `build` off.
    """
    parameters = kernel_string([word for word in wish.words if "=" in word])
    if wish.files:
        kos = tuple(existing(wish.directory / file) for file in wish.files)
        found = LoadPlan(home(wish.directory), kos, parameters, 0.0)
        beside = [path for ko in kos for path in sorted(ko.parent.glob("*.ko"))]
        return _with_needs(found, beside, kernel) if wish.dependencies else found
    if kernel is None:
        raise ValueError("a project is built for a kernel")
    began = time.monotonic()
    directory = find_project(wish.directory)
    fresh = fresh_targets(directory, kernel)
    project = fresh or _read(directory, kernel)
    meant = tuple(target.ko for target in project.named(wish.module))
    if not fresh and wish.build:
        from kscaffold.make.build import build  # start-up time

        report = build(project, kernel, say=say, show=show)
        if not report.ok:
            return LoadPlan(directory, (), parameters, time.monotonic() - began, report)
    for ko in meant:
        if not ko.exists():
            raise KscaffoldError("KS281", f"{ko.name} is not built", fix="kscaffold build")
    found = LoadPlan(directory, meant, parameters, time.monotonic() - began)
    beside = [target.ko for target in project.targets if target.ko.exists()]
    return _with_needs(found, beside, kernel) if wish.dependencies else found


def _read(directory: Path, kernel: Kernel) -> Project:
    from kscaffold.project.ask import read_project  # start-up time

    return read_project(directory, kernel)


def _with_needs(jobs: LoadPlan, beside: list[Path], kernel: Kernel | None) -> LoadPlan:
    """The jobs in an order in which each finds what it needs."""
    kos = load_dependencies.in_dependency_order(jobs.kos)
    # One that is asked for itself is in the order already, and gets the parameters.
    before = {
        ko: tuple(n for n in load_dependencies.dependencies(ko, beside, kernel) if n not in kos) for ko in kos
    }
    return replace(jobs, kos=kos, needs=before)


def module_names_of(home: Path) -> set[str]:
    """The kernel's names of what the project in `home` builds; empty where there is none."""
    from kscaffold.project.ask import read_project  # start-up time: only list, logs and unload ask

    try:
        return {normalize_name(target.name) for target in read_project(home, None).targets}
    except KscaffoldError:
        return set()
