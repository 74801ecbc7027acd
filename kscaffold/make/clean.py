"""Remove what building left in a project, as Kbuild's own clean does."""

from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv, make_environment
from kscaffold.make.fingerprint.compare import RECORD
from kscaffold.make.lock import project_lock
from kscaffold.progress import SILENT, Progress
from kscaffold.project.ask import kbuild_file
from kscaffold.project.known import known_targets
from kscaffold.project.mirror import remove_mirrors
from kscaffold.project.trust import require_trusted
from kscaffold.records import dataclass

_DEADLINE = 120.0  # seconds


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What went: paths relative to the project, sorted."""

    removed: tuple[str, ...]


def clean(directory: Path, kernel: Kernel, *, progress: Progress = SILENT) -> CleanReport:
    """Run Kbuild's clean in the project at `directory`, and remove what was built of it beside the checkout.

    Raises KscaffoldError KS108 when make fails at it, and what `build` raises when it can't be called.
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
        for place in sorted({t.directory for t in known.targets} if known else {directory}):
            argv = make_argv(place, tree, toolchain(tree), "clean", 1)
            done = process.run(argv, timeout=_DEADLINE, env=make_environment(place))
            if done.returncode != 0:
                said = [line for line in done.stderr.splitlines() if line.strip()]
                raise KscaffoldError(
                    "KS108", f"make clean failed in {place}", cause=said[0] if said else None
                )
        # The next kernel that is built for has the checkout.
        (state / RECORD).unlink(missing_ok=True)
        remove_mirrors(directory)
        return CleanReport(tuple(sorted(before - _files(directory))))


def _files(directory: Path) -> set[str]:
    return {str(f.relative_to(directory)) for f in directory.rglob("*") if ".git" not in f.parts}
