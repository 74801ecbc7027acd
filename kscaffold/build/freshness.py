"""Nothing to do, said without make."""

from pathlib import Path

from kscaffold.build.compiler import Toolchain
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.project import Project


def is_fresh(project: Project, kernel: Kernel) -> bool:
    """Whether make would find nothing to do for `project` and `kernel`."""
    return False


def fresh_targets(directory: Path, kernel: Kernel) -> Project | None:
    """The project in `directory`, when all it builds is up to date for `kernel`; else None."""
    return None


def last_tree(directory: Path) -> str | None:
    """The build tree of the last build here."""
    return None


def stamp(state: Path) -> int:
    """The file system's time now."""
    return 0


def remember(project: Project, tree: BuildTree, tools: Toolchain, started: int) -> None:
    """Record a successful build."""
