"""The report of a build. Imports little: every load and run has one."""

from pathlib import Path
from typing import Literal

from kscaffold.files import paths
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.records import dataclass

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class CompilerMessage:
    """One error or warning. `file` is relative to the project when it lies there; None when none is named."""

    level: Level
    file: str | None
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class BuildExplanation:
    """Why a build failed: a code of the catalogue, one phrase, its cause and its mend where known."""

    code: str
    what: str
    cause: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of a build.

    `ok`: every module of the project is there and for this kernel. `modules`: the project's targets.
    `release`, `arch`: the kernel's, and its machine's as `uname -m` says it.
    `log`: make's whole output of the last build that ran make. `explanation` says why when not ok.
    """

    ok: bool
    project: Project
    modules: tuple[ModuleTarget, ...]
    release: str
    arch: str
    log: Path
    complaints: tuple[CompilerMessage, ...]
    notes: tuple[str, ...]
    seconds: float
    up_to_date: bool
    explanation: BuildExplanation | None = None


def nothing_to_do(project: Project, kernel: Kernel, seconds: float) -> BuildReport:
    """The report on a project that is up to date (`freshness.fresh_targets`)."""
    log = paths.project_state(project.directory) / "make.log"
    return BuildReport(
        True, project, project.targets, kernel.release, kernel.arch, log, (), (), seconds, up_to_date=True
    )
