"""A project made up to date: nothing where that is proven, else a build. Imports little for the first."""

import time
from pathlib import Path

from kscaffold.kernel.kernel import Kernel
from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.make.report import BuildReport, nothing_to_do
from kscaffold.progress import SILENT, Progress


def build_project(
    directory: Path,
    kernel: Kernel,
    *,
    module: str | None = None,
    everything: bool = False,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> BuildReport:
    """Build the modules of the project in `directory`; a failed build is a report that is not ok.

    `module`: raises UsageError KS109 before the build where the project has no such module. `everything`:
    all of make's output is reported. `jobs`: compilers at once, None for one a processor. Raises
    KscaffoldError where make can't be called.
    """
    started = time.monotonic()
    project = fresh_targets(directory, kernel)
    if project:
        project.named(module)
        return nothing_to_do(project, kernel, time.monotonic() - started)
    from kscaffold.make.build import build  # start-up time: most builds have nothing to do
    from kscaffold.project.ask import read_project

    project = read_project(directory, kernel)
    project.named(module)
    return build(project, kernel, progress=progress, everything=everything, jobs=jobs)
