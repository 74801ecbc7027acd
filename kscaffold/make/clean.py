"""Remove what building left in a project, as Kbuild's own clean does."""

from dataclasses import dataclass
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv, make_environment
from kscaffold.make.lock import Say, project_lock
from kscaffold.project.known import known_targets

_DEADLINE = 120.0  # seconds


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What went: paths relative to the project, sorted."""

    removed: tuple[str, ...]


def clean(directory: Path, kernel: Kernel, *, say: Say) -> CleanReport:
    """Run Kbuild's clean in the project at `directory`.

    Raises KscaffoldError KS108 when make fails at it, and what `build` raises when it can't be called.
    """
    directory = directory.resolve()
    with project_lock(directory, say):
        problem = build_problem(kernel)
        if problem:
            raise problem
        assert kernel.build is not None
        tree = read_tree(kernel.build, kernel.arch)
        before = _files(directory)
        known = known_targets(directory)
        places = {t.directory for t in known.targets} if known else {directory}
        for place in sorted(places):
            argv = make_argv(place, tree, toolchain(tree), "clean", 1)
            done = process.run(argv, timeout=_DEADLINE, env=make_environment(place))
            if done.returncode != 0:
                raise _failed(directory, done.stderr)
        return CleanReport(tuple(sorted(before - _files(directory))))


def _failed(directory: Path, stderr: str) -> KscaffoldError:
    said = [line for line in stderr.splitlines() if line.strip()]
    return KscaffoldError("KS108", f"make clean failed in {directory}", cause=said[0] if said else None)


def _files(directory: Path) -> set[str]:
    return {str(f.relative_to(directory)) for f in directory.rglob("*") if ".git" not in f.parts}
