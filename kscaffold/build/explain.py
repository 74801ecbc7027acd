"""Why a build failed."""

from dataclasses import dataclass

from kscaffold.build.output import Complaint
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.project.project import Project


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a build failed: a code of the catalogue, one phrase, its cause and its mend where known."""

    code: str
    what: str
    cause: str | None = None
    fix: str | None = None


def explain(project: Project, tree: BuildTree, complaints: list[Complaint], lines: list[str]) -> Explanation:
    """The best explanation of a failed build."""
    errors = [c for c in complaints if c.level == "error"]
    what = f"{len(errors)} error{'s' if len(errors) != 1 else ''}" if errors else "make failed"
    return Explanation("KS107", what, fix="mend what the compiler names above, then build again")
