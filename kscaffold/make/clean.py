"""Remove what building left in a project, as Kbuild's own clean does; what people wrote stays."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from kscaffold import process
from kscaffold.files.atomic import file_beside
from kscaffold.files.tree import below
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv, make_environment
from kscaffold.make.fingerprint.compare import RECORD
from kscaffold.make.lock import project_lock
from kscaffold.make.try_run import open_try_run, with_answers
from kscaffold.progress import SILENT, Progress
from kscaffold.project.ask import UnbuildableError, kbuild_file
from kscaffold.project.known import known_targets
from kscaffold.project.mirror import is_built, remove_mirrors
from kscaffold.project.trust import require_trusted
from kscaffold.records import dataclass

_DEADLINE = 120.0  # seconds
# Of what the kernel's top Makefile removes from a module's directory (its rule `clean`), what people may have
# written or been given.
_BY_NAME = (".a", ".i", ".o", ".s", ".lst", ".lex.c", ".tab.c", ".tab.h", ".asn1.c", ".asn1.h", ".ll")


@dataclass(frozen=True, slots=True)
class CleanReport:
    """`removed`: the files that went. `kept`: files that make's own clean would have removed, though no
    build had made them. All are paths relative to the project, sorted.
    """

    removed: tuple[str, ...]
    kept: tuple[str, ...] = ()


def clean(directory: Path, kernel: Kernel, *, progress: Progress = SILENT) -> CleanReport:
    """Run Kbuild's clean in the project at `directory`, and remove what was built of it beside the checkout.

    Raises UnbuildableError KS108 when make fails at it, and what `build` raises when it can't be called.
    """
    directory = directory.resolve()
    require_trusted(directory, kbuild_file(directory))
    with project_lock(directory, progress) as state:
        problem = build_problem(kernel)
        if problem:
            raise problem
        assert kernel.build is not None
        tree = read_tree(kernel.build, kernel.arch)
        before = _files(directory)
        known = known_targets(directory)
        with _spared(directory, before, state / "spared") as kept:
            for place in sorted({t.directory for t in known.targets} if known else {directory}):
                _clean(place, tree, state)
        # The next kernel that is built for has the checkout.
        (state / RECORD).unlink(missing_ok=True)
        remove_mirrors(directory)
        return CleanReport(tuple(sorted(before - _files(directory))), tuple(sorted(kept)))


def _clean(place: Path, tree: BuildTree, state: Path) -> None:
    """Kbuild's clean of one directory. Raises UnbuildableError KS108 with make's own words where it fails."""
    tools = toolchain(tree)
    argv = make_argv(place, tree, tools, "clean", 1)
    environment = with_answers(make_environment(place), open_try_run(tree, tools, state))
    done = process.run(argv, timeout=_DEADLINE, env=environment)
    if done.returncode != 0:
        # For clean Kbuild reads no configuration: a Makefile that wants one of its options ends here.
        options = {**environment, "MAKEFILES": str(tree.directory / "include/config/auto.conf")}
        again = process.run(argv, timeout=_DEADLINE, env=options)
        if again.returncode == 0:
            return
        said = [line for line in done.stderr.splitlines() if line.strip()]
        stop = next((line for line in said if " *** " in line), said[0] if said else None)
        raise UnbuildableError("KS108", f"make clean failed in {place}", cause=stop, fix=_mend(stop))


def _mend(stop: str | None) -> str | None:
    """The line to look at, where make names one of the Makefile's own; else the catalogue's advice holds."""
    found = re.match(r"(/\S+):(\d+): \*\*\* ", stop or "")
    return f"edit {found[1]}, line {found[2]}, which make clean reads, too" if found else None


@contextlib.contextmanager
def _spared(directory: Path, files: set[str], aside: Path) -> Iterator[list[str]]:
    """Put back what Kbuild's clean removes by its name alone and no build made: an object without a source,
    an assembly file, a parser's tab.c. Gives the names of those, at the end. `aside`: where copies are kept.
    """
    mine = [name for name in sorted(files) if name.endswith(_BY_NAME) and not _is_made(directory / name)]
    shutil.rmtree(aside, ignore_errors=True)
    for number, name in enumerate(mine):
        aside.mkdir(exist_ok=True)
        shutil.copy2(directory / name, aside / str(number))
    kept: list[str] = []
    try:
        yield kept
    finally:
        for number, name in enumerate(mine):
            if not (directory / name).exists():
                with file_beside(directory / name) as hidden:
                    shutil.copy2(aside / str(number), hidden)
                    hidden.replace(directory / name)
                kept.append(name)
        shutil.rmtree(aside, ignore_errors=True)


def _is_made(file: Path) -> bool:
    there = frozenset(os.listdir(file.parent))  # noqa: PTH208
    return not file.is_file() or is_built(file.name, there)


def _files(directory: Path) -> set[str]:
    return {str(f.relative_to(directory)) for f in below(directory, "*") if ".git" not in f.parts}
