"""Tests of many projects with one command: a class's hand-ins. Each has processes and guests of its own, and
what one of them does wrong is its own row.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.kernel.obtain import obtain
from kscaffold.load.executor import do_jobs
from kscaffold.progress import SILENT, Progress, Work
from kscaffold.project.find import is_project
from kscaffold.records import dataclass, replace
from kscaffold.testing.run import TestRequest, TestRun, test


@dataclass(frozen=True, slots=True)
class ProjectRun:
    """The tests of one project. `run`: what they gave, None where they could not be run: `error` says why."""

    directory: Path
    run: TestRun | None
    error: KscaffoldError | None = None

    @property
    def ok(self) -> bool:
        """All its tests passed."""
        return self.run is not None and self.run.ok


@dataclass(frozen=True, slots=True)
class ClassRun:
    """The tests of many projects, in the order they were named. `seconds`: of all of them together."""

    kernels: tuple[str, ...]
    projects: tuple[ProjectRun, ...]
    seconds: float

    def kernel_name(self, release: str) -> str:
        """One of `kernels`, as people and --kernel name it."""
        runs = (one.run for one in self.projects if one.run is not None)
        return next((run.kernel_name(release) for run in runs if release in run.arches), release)

    @property
    def ok(self) -> bool:
        """Each project's tests passed."""
        return all(one.ok for one in self.projects)


def are_projects(paths: Sequence[Path]) -> bool:
    """Whether the words of `test` are directories of projects, and not of one project's tests. One that is
    none among them is a row of the answer.
    """
    return bool(paths) and all(path.is_dir() for path in paths) and any(map(is_project, paths))


def test_projects(
    request: TestRequest,
    on_line: Callable[[Path, str], None],
    *,
    offline: bool = False,
    progress: Progress = SILENT,
) -> ClassRun:
    """Test each of `request.paths`, as many at once as this process may use processors. `on_line` gets each
    line that pytest prints, from several threads. Raises KscaffoldError where there is no kernel.
    """
    began = time.monotonic()
    names = request.kernels or (None,)
    kernels = tuple(obtain(name, offline=offline, progress=progress).release for name in names)
    done: dict[int, ProjectRun] = {}

    def one(number: int) -> ProjectRun:
        return _one(replace(request, kernels=kernels), request.paths[number], on_line)

    total = len(request.paths)
    text = f"{total} projects, {min(total, len(os.sched_getaffinity(0)))} at once"
    with progress.work(Work("Testing", text, lambda: len(done), total, "projects")):
        for number, run in do_jobs(one, range(total)):
            done[number] = run
    return ClassRun(kernels, tuple(done[n] for n in range(total)), time.monotonic() - began)


test_projects.__test__ = False  # type: ignore[attr-defined]


def _one(request: TestRequest, directory: Path, on_line: Callable[[Path, str], None]) -> ProjectRun:
    # A row shows the first line of a failure: what a second run sees would not be read.
    more = (*request.more, "--kscaffold-second-runs", "0")
    mine = replace(request, directory=directory, paths=(), junit=_junit(request.junit, directory), more=more)
    try:
        run = test(mine, lambda line: on_line(directory, line), offline=True)
    except KscaffoldError as error:
        return ProjectRun(directory, None, error)
    return ProjectRun(directory, run)


def _junit(file: Path | None, directory: Path) -> Path | None:
    """A file of its own for each project: `results.xml` is `results-alice.xml` for alice's."""
    return file.with_stem(f"{file.stem}-{directory.resolve().name}") if file else None
