"""The plan of a load: which .ko files, in which order, with which parameters; built first where needed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.load import dependencies
from kscaffold.load.firmware import firmware_files
from kscaffold.load.request import LoadRequest
from kscaffold.make.fingerprint.compare import fresh_targets, recorded_targets
from kscaffold.module.arguments import Parameters
from kscaffold.progress import Progress
from kscaffold.project.find import find_project, home, is_project, plain_module_names
from kscaffold.project.project import Project
from kscaffold.records import dataclass, field, replace

if TYPE_CHECKING:
    from kscaffold.make.report import BuildReport


HELPERS = frozenset(("ks_sanitize", "ks_faults", "ks_coverage"))
"""The kernel's names of the helper modules of instruments."""
_TRIES = 5  # at a build of which another command, for another kernel, leaves the files as they were


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is to be loaded, in order, each file opened. `home`: the directory that the sandbox belongs to.
    `seconds`: how long building took.

    `needs`: what is to be loaded before each module, by the module's path, where it is not loaded yet.
    `failed`: the build that did not succeed; there is nothing to load then. `first`: helper modules of an
    instrument with their parameters, loaded before all else and not reported of. `as_user`: an ordinary user
    loads them. `orders`: what is written into files of the guest once its helpers are in. `firmware`: files
    for the guest, by the name that a driver asks for.
    """

    home: Path
    kos: tuple[ModuleFile, ...]
    parameters: Parameters
    seconds: float
    failed: "BuildReport | None" = None
    needs: Mapping[Path, tuple[ModuleFile, ...]] = field(default_factory=dict)
    first: tuple[tuple[ModuleFile, Parameters], ...] = ()
    as_user: bool = False
    orders: Mapping[str, str] = field(default_factory=dict)
    firmware: Mapping[str, Path] = field(default_factory=dict)


def plan_loads(request: LoadRequest, kernel: Kernel | None, progress: Progress) -> LoadPlan:
    """Find and open the .ko files of a request, and build them first where their sources are newer.

    Raises UsageError for a module the project does not have; KscaffoldError when there is no project, when
    nothing is built with `build` off, or where a .ko can't be read.
    """
    if request.kos:
        found = _of_files(request, kernel)
    elif kernel is None:
        raise ValueError("a project is built for a kernel")
    else:
        found = _of_project(request, kernel, progress)
    places = (found.home, *(ko.path.parent for ko in found.kos))
    files = firmware_files(request.firmware, request.directory, places)
    return replace(found, as_user=request.as_user, firmware=files)


def _of_files(request: LoadRequest, kernel: Kernel | None) -> LoadPlan:
    """The files that were named, wherever they are."""
    files = dependencies.ModuleFiles()
    kos = tuple(files.open(ko) for ko in request.kos)
    found = LoadPlan(home(request.directory), kos, request.parameters, 0.0)
    if not request.dependencies:
        return found
    beside = [path for ko in kos for path in sorted(ko.path.parent.glob("*.ko"))]
    return _with_needs(found, beside, kernel, files)


def _of_project(request: LoadRequest, kernel: Kernel, progress: Progress) -> LoadPlan:
    """The plan for the modules of a project, which is built first where it is not up to date."""
    began = time.monotonic()
    directory = find_project(request.directory)
    tries = 0
    while True:
        project = fresh_targets(directory, kernel) or _fresh_beside(directory, kernel)
        if project is None and request.build:
            from kscaffold.make.build_project import build_project  # start-up time

            report = build_project(directory, kernel, module=request.module, progress=progress)
            if not report.ok:
                return LoadPlan(directory, (), request.parameters, time.monotonic() - began, report)
            project = report.project
        project = project or _read(directory, kernel)
        files = dependencies.ModuleFiles(project.directory)
        meant = tuple(t.ko for t in project.named(request.module))
        for ko in meant:
            if not ko.exists():
                raise KscaffoldError("KS281", f"{ko.name} is not built", fix="kscaffold build")
        kos, tries = tuple(files.open(ko) for ko in meant), tries + 1
        if tries == _TRIES or not request.build or not any(_is_for_another(ko, kernel) for ko in kos):
            break  # else another command has built here for its kernel before the files were read
    found = LoadPlan(directory, kos, request.parameters, time.monotonic() - began)
    if not request.dependencies:
        return found
    return _with_needs(found, [t.ko for t in project.targets if t.ko.exists()], kernel, files)


def _fresh_beside(directory: Path, kernel: Kernel) -> Project | None:
    """The project as it was built for this kernel beside the checkout, where that is up to date."""
    from kscaffold.make.build_place import build_place  # start-up time: most projects have one kernel

    place = build_place(directory, kernel)
    return None if place == directory else fresh_targets(place, kernel)


def _is_for_another(ko: ModuleFile, kernel: Kernel) -> bool:
    """Whether a .ko says that it was built for another release."""
    _, said, rest = ko.raw.partition(b"vermagic=")
    return bool(said) and rest.split(b" ", 1)[0] != kernel.release.encode()


def _read(directory: Path, kernel: Kernel) -> Project:
    from kscaffold.project.known import project_at  # start-up time

    return project_at(directory, kernel)


def _with_needs(
    plan: LoadPlan, beside: list[Path], kernel: Kernel | None, files: dependencies.ModuleFiles
) -> LoadPlan:
    """The plan in an order in which each finds what it needs."""
    kos = dependencies.in_dependency_order(plan.kos)
    # A module that is asked for itself is in the order already, and gets the parameters.
    before = {
        ko.path: tuple(n for n in dependencies.dependencies(ko, beside, kernel, files) if n not in kos)
        for ko in kos
    }
    return replace(plan, kos=kos, needs=before)


def module_names_of(home: Path) -> set[str]:
    """The kernel's names of the modules of the project in `home`; empty where there is none.

    make is not asked, which would run what a stranger's Kbuild says: names come from the last build's record,
    from .ko files and from the plain words of obj-m.
    """
    if not is_project(home):
        return set()
    names = {target.name for target in recorded_targets(home)}
    names |= {ko.stem for pattern in ("*.ko", "*/*.ko", "*/*/*.ko") for ko in home.glob(pattern)}
    return {normalize_name(name) for name in names | plain_module_names(home)}
