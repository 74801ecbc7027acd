"""Modules compiled once more for an instrument, in a build directory of their own."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.instrument import plan
from kscaffold.instrument.mirror import KBUILD, make_mirror
from kscaffold.instrument.notebook import Notebook
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build import build
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
    kos: Sequence[Path], recipe: Recipe, place: Path, kernel: Kernel, progress: Progress
) -> dict[Path, Compiled]:
    """Each module as it is compiled by a recipe below `place`, where its sources are known.

    Make is asked only where a .ko has changed since then. Raises KscaffoldError KS732 where a copy can't be
    built.
    """
    noted = Notebook(place, _rules(recipe))
    found = {ko: Compiled(inside, True) for ko in kos if (inside := noted.recall(ko))}
    left = [ko for ko in kos if ko not in found]
    for directory in dict.fromkeys(ko.absolute().parent for ko in left):
        mine = [ko for ko in left if ko.absolute().parent == directory]
        project = _project_of(directory, kernel)
        there = {t.ko.resolve() for t in project.targets} if project else set()
        known = [ko for ko in mine if ko.resolve() in there]
        found.update({ko: Compiled(ko, False) for ko in mine if ko not in known})
        if project and known:
            base = place / hashlib.blake2b(str(project.directory).encode(), digest_size=4).hexdigest()
            mirror = surrounded(project.directory, base)
            _build_mirror(project, mirror, recipe, kernel, progress)
            for ko in known:
                inside = mirror / ko.resolve().relative_to(project.directory)
                found[ko] = Compiled(inside, True)
                noted.note(ko, inside)
    noted.keep()
    return found


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


def _build_mirror(project: Project, mirror: Path, recipe: Recipe, kernel: Kernel, progress: Progress) -> None:
    assert kernel.build is not None
    tools = toolchain(read_tree(kernel.build, kernel.arch))
    compiler = "clang" if any(v.startswith("LLVM=") for v in tools.variables) else "gcc"
    flags = recipe.flags(compiler, mirror, project.directory)
    make_mirror(project.directory, mirror, project.kbuild_file, flags)

    def step(verb: str, text: str) -> None:
        if verb == "Building":
            progress.step("Instrumenting", text)

    said: list[str] = []
    report = build(read_project(mirror, kernel), kernel, progress=Progress(step=step, note=said.append))
    if report.ok:
        return
    for line in said:
        progress.note(line)
    problem = report.explanation
    raise KscaffoldError(
        "KS732",
        f"the instrumented copy of {project.directory.name} can't be built",
        cause=str(problem.cause) if problem and problem.cause else f"make's log is {report.log}",
        fix=f"copy {project.targets[0].ko.name} elsewhere and name it: without source only imports are seen",
    )
