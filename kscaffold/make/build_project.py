"""A project made up to date: nothing where that is proven, else a build. Imports little for the first."""

import re
import time
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.make.report import BuildReport, nothing_to_do
from kscaffold.make.request import BuildRequest
from kscaffold.progress import SILENT, Progress
from kscaffold.project.mirror import build_place

# Where Kbuild can't say what is built, the project's own make may: no Kbuild, one that make can't read
# before something is made, one without a module.
_FOR_OWN_MAKE = frozenset({"KS101", "KS103", "KS104", "KS159"})


def build_project(
    directory: Path,
    kernel: Kernel,
    *,
    module: str | None = None,
    variables: tuple[str, ...] = (),
    everything: bool = False,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> BuildReport:
    """Build the modules of the project in `directory`: by Kbuild, and where that alone is not enough in the
    project's own way; a failed build is a report that is not ok.

    `module`: raises UsageError KS109 where the project has no such module, before the build where Kbuild can
    say so. `variables`: VARIABLE=VALUE for make's command line. `everything`: all of make's output is
    reported. `jobs`: compilers at once, None for one a processor. Raises KscaffoldError where make can't be
    called.
    """
    started = time.monotonic()
    place = build_place(directory.resolve())
    if place != directory.resolve():
        progress.step("Note", f"{directory} can't be written to: built in {place}")
    directory = place
    project = None if variables else fresh_targets(directory, kernel)
    if project:
        project.named(module)
        return nothing_to_do(project, kernel, time.monotonic() - started)
    from kscaffold.make.build import build_as_asked  # start-up time: most builds have nothing to do
    from kscaffold.make.own_build import build_own_way
    from kscaffold.make.own_way import last_resort, own_way
    from kscaffold.project.ask import read_project
    from kscaffold.project.find import outer_project

    if outer := outer_project(directory):
        whole = f"kscaffold build -C {outer} builds all of it"
        progress.step("Note", f"the project meant is {directory.name}, which lies in {outer.name}: {whole}")
    request = BuildRequest(progress, everything, jobs, variables)
    way = own_way(directory)
    if way is None:
        try:
            project = read_project(directory, kernel)
        except KscaffoldError as error:
            way = last_resort(directory, error.what) if error.code in _FOR_OWN_MAKE else None
            if way is None:
                raise
        else:
            project.named(module)
            report = build_as_asked(project, kernel, request)
            made = None if report.ok else _made_first(report, directory)
            way = last_resort(directory, made) if made else None
            if way is None:
                return report
    report = build_own_way(directory, kernel, way, request)
    if report.ok:
        report.project.named(module)
    return report


def _made_first(report: BuildReport, directory: Path) -> str | None:
    """What Kbuild alone lacks, where the project makes it: a header, and by what."""
    from kscaffold.make.generated import maker_of  # start-up time: only when a build failed

    for complaint in report.complaints:
        missing = re.match(r"(\S+\.h): No such file or directory", complaint.text)
        if missing and (maker := maker_of(missing[1], directory)) and maker.command:
            return maker.cause
    return None
