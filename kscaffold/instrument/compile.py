"""Modules compiled once more for an instrument, in a build directory of their own."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.instrument import plan
from kscaffold.instrument.mirror import KBUILD, copy_sources, make_mirror
from kscaffold.instrument.notebook import Notebook
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build import build
from kscaffold.make.fingerprint.compare import recorded_targets
from kscaffold.make.own_build import build_own_way
from kscaffold.make.own_way import OwnWay, last_resort, own_way
from kscaffold.make.report import BuildReport
from kscaffold.make.request import BuildRequest
from kscaffold.make.variables import with_variables
from kscaffold.progress import Progress
from kscaffold.project.ask import read_project
from kscaffold.project.find import find_project
from kscaffold.project.mirror import surrounded
from kscaffold.project.project import Project
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an instrument's objects are compiled: `parts` are the keys of plan.FLAGS, none where nothing is
    compiled. `header`: what each source reads first.
    """

    instrument: str
    header: Path
    parts: tuple[str, ...]

    def flags(self, compiler: str, copied: Path, original: Path) -> str:
        """The compiler's flags, from its name (`gcc`, `clang`) and the directories of the mirror and of the
        project.
        """
        return plan.compiler_flags(compiler, self.parts, self.header, copied, original)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A .ko compiled for an instrument, or the user's own where there is no source."""

    ko: Path
    instrumented: bool

    def homes(self, original: Path) -> tuple[Path, Path]:
        """The directory in which it was compiled, and the one that stands for: the project's, or one above.
        `original`: the user's own .ko.
        """
        copied, home = Path(os.path.realpath(self.ko.parent)), Path(os.path.realpath(original.parent))
        while copied.name == home.name and copied != home:
            copied, home = copied.parent, home.parent
        return copied, home


def copies_of(home: Path, kernel: Kernel, instrument: str) -> Path:
    """The directory, in the user's cache, of all that an instrument compiles for the project in `home`."""
    real = os.path.realpath(home)
    digest = hashlib.blake2b(f"{real}\0{kernel.build}".encode(errors="surrogateescape"), digest_size=8)
    return paths.cache() / "instrumented" / f"{instrument}-{digest.hexdigest()}"


def compiled(
    kos: Sequence[Path], recipe: Recipe, place: Path, home: Path, kernel: Kernel, progress: Progress
) -> dict[Path, Compiled]:
    """Each module as it is compiled by a recipe below `place`, where its sources are known: by Kbuild, and
    where the project in `home` does more than that, by its own make.

    Make is asked only where a .ko has changed since then. Raises KscaffoldError KS732 where a copy can't be
    built.
    """
    noted = Notebook(place, _rules(recipe))
    found = {ko: Compiled(inside, True) for ko in kos if (inside := noted.recall(ko))}
    left = [ko for ko in kos if ko not in found]
    work = _Work(recipe, place, kernel, progress)
    way = own_way(home) if left else None
    made = {} if way else _by_kbuild(left, work)
    if left := [ko for ko in left if ko not in made]:
        made |= _by_own_make(left, home, way or last_resort(home, "Kbuild alone does not make them"), work)
    for ko in left:
        found[ko] = Compiled(ko, False)
    for ko, inside in made.items():
        found[ko] = Compiled(inside, True)
        noted.note(ko, inside)
    noted.keep()
    return found


@dataclass(frozen=True, slots=True)
class _Work:
    """What all copies of one call share. `place`: where they are compiled."""

    recipe: Recipe
    place: Path
    kernel: Kernel
    progress: Progress

    def flags(self, copied: Path, original: Path) -> str:
        """The compiler's flags for a copy of a project."""
        assert self.kernel.build is not None
        tree = read_tree(self.kernel.build, self.kernel.arch)
        compiler = compiler_of(with_variables(toolchain(tree), tree, ()).variables)
        if compiler == "clang" and "coverage" in self.recipe.parts:
            raise KscaffoldError(
                "KS733",
                "the lines of modules that clang compiles are not counted",
                cause="its counters are not those that gcov reads",
                fix="build with gcc (without CC=clang and LLVM=1), or leave out --coverage",
            )
        return self.recipe.flags(compiler, copied, original)

    def mirror(self, directory: Path) -> Path:
        """Where a project is compiled."""
        base = self.place / hashlib.blake2b(str(directory).encode(), digest_size=4).hexdigest()
        return surrounded(directory, base)


def compiler_of(variables: Sequence[str]) -> str:
    """`gcc` or `clang`, by the variables that make is given."""
    given = dict(v.split("=", 1) for v in variables if "=" in v)
    program = Path((given.get("CC") or "").rpartition(" ")[2]).name
    is_llvm = not program and given.get("LLVM", "0") != "0"
    return "clang" if is_llvm or program.startswith("clang") else "gcc"


def _by_kbuild(kos: Sequence[Path], work: _Work) -> dict[Path, Path]:
    """The copies of those that Kbuild alone makes."""
    made: dict[Path, Path] = {}
    for directory in dict.fromkeys(ko.absolute().parent for ko in kos):
        mine = [ko for ko in kos if ko.absolute().parent == directory and ko not in made]
        project = _project_of(directory, work.kernel)
        there = {t.ko.resolve() for t in project.targets} if project else set()
        known = [ko for ko in mine if ko.resolve() in there]
        if project and known:
            mirror = work.mirror(project.directory)
            _build_mirror(project, mirror, work)
            made |= {ko: mirror / ko.resolve().relative_to(project.directory) for ko in known}
    return made


def _by_own_make(kos: Sequence[Path], home: Path, way: OwnWay | None, work: _Work) -> dict[Path, Path]:
    """The copies of those that a project's own make made the last time."""
    home = home.resolve()
    recorded = {t.ko.resolve() for t in recorded_targets(home)}
    mine = [ko for ko in kos if ko.resolve() in recorded]
    if way is None or not mine:
        return {}
    mirror = work.mirror(home)
    copy_sources(home, mirror)
    flags = f"{work.flags(mirror, home)} -Wno-error"
    variables = (f"KCFLAGS={flags}", "KBUILD_MODPOST_WARN=1")
    said: list[str] = []
    request = BuildRequest(_quiet(work.progress, said), variables=variables)
    _require(build_own_way(mirror, work.kernel, way, request), home.name, said, work.progress)
    inside = {ko: mirror / ko.resolve().relative_to(home) for ko in mine}
    return {ko: copy for ko, copy in inside.items() if copy.is_file()}


def _rules(recipe: Recipe) -> str:
    """A digest of all that decides how a copy is compiled, but for its sources."""
    digest = hashlib.blake2b(reader.read_bytes(recipe.header) + KBUILD.encode(), digest_size=8)
    for compiler in ("gcc", "clang"):
        digest.update(recipe.flags(compiler, Path(), Path()).encode())
    return digest.hexdigest()


def _project_of(directory: Path, kernel: Kernel) -> Project | None:
    try:
        return read_project(find_project(directory), kernel)
    except KscaffoldError:
        return None


def _build_mirror(project: Project, mirror: Path, work: _Work) -> None:
    make_mirror(project.directory, mirror, project.kbuild_file, work.flags(mirror, project.directory))
    said: list[str] = []
    report = build(read_project(mirror, work.kernel), work.kernel, progress=_quiet(work.progress, said))
    _require(report, project.directory.name, said, work.progress)


def _quiet(progress: Progress, said: list[str]) -> Progress:
    """Tells that a copy is made; what make says of it is kept in `said`."""

    def step(verb: str, text: str) -> None:
        if verb == "Building":
            progress.step("Instrumenting", text)

    return Progress(step=step, note=said.append)


def _require(report: BuildReport, name: str, said: Sequence[str], progress: Progress) -> None:
    """Raise KscaffoldError KS732 where a copy of the project of that name was not built."""
    if report.ok:
        return
    for line in said:
        progress.note(line)
    problem = report.explanation
    example = report.project.targets[0].ko.name if report.project.targets else "the .ko"
    raise KscaffoldError(
        "KS732",
        f"the instrumented copy of {name} can't be built",
        cause=str(problem.cause) if problem and problem.cause else f"make's log is {report.log}",
        fix=f"copy {example} elsewhere and name it: without source only imports are seen",
    )
