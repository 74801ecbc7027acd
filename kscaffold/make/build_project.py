"""A project made up to date: nothing where that is proven, else a build. Imports little for the first."""

import os
import re
import time
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build_place import build_place
from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.make.report import BuildReport, nothing_to_do
from kscaffold.make.request import BuildRequest
from kscaffold.progress import SILENT, Progress
from kscaffold.project.mirror import publish
from kscaffold.records import replace

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
    here = directory.resolve()
    place = build_place(here, kernel)
    if not os.access(here, os.W_OK):
        progress.step("Note", f"{directory} can't be written to: built in {place}")
    request = BuildRequest(progress, everything, jobs, variables)
    report = _build(here, place, kernel, module, request)
    return report if place == here or not report.ok else _published(report, here)


def _build(here: Path, place: Path, kernel: Kernel, module: str | None, request: BuildRequest) -> BuildReport:
    """Build in `place`, the directory of this kernel for the checkout in `here`."""
    started = time.monotonic()
    project = None if request.variables else fresh_targets(place, kernel)
    if project:
        project.named(module)
        return nothing_to_do(project, kernel, time.monotonic() - started)
    from kscaffold.make.build import build_as_asked  # start-up time: most builds have nothing to do
    from kscaffold.make.own_build import build_own_way
    from kscaffold.make.own_way import configured_way, last_resort, own_way
    from kscaffold.project.ask import kbuild_file, read_project
    from kscaffold.project.find import outer_project
    from kscaffold.project.trust import name, require_trusted

    if outer := outer_project(here):
        whole = f"kscaffold build -C {outer} builds all of it"
        request.progress.step(
            "Note", f"the project meant is {here.name}, which lies in {outer.name}: {whole}"
        )
    if place != here:
        require_trusted(here, kbuild_file(here))
        name(place)
    way = configured_way(place) or own_way(place)
    if way is None:
        try:
            project = read_project(place, kernel, building=True)
        except KscaffoldError as error:
            way = last_resort(place, error.what) if error.code in _FOR_OWN_MAKE else None
            if way is None:
                raise
        else:
            project.named(module)
            report = build_as_asked(project, kernel, request)
            made = None if report.ok else _made_first(report, place)
            way = last_resort(place, made) if made else None
            if way is None:
                return report
    # Rules of the project's own may write to its files: not to those that links lead to.
    report = build_own_way(here if os.access(here, os.W_OK) else place, kernel, way, request)
    if report.ok:
        report.project.named(module)
    return report


def _published(report: BuildReport, here: Path) -> BuildReport:
    """The report on modules that were built beside the checkout, each put where make would have left it. Who
    builds there now leaves its own.
    """
    from kscaffold.make.lock import lock_if_idle  # start-up time: most builds are in the checkout

    with lock_if_idle(here) as idle:
        modules = (replace(t, ko=publish(t.ko)) for t in report.modules) if idle else report.modules
        return replace(report, modules=tuple(modules))


def _made_first(report: BuildReport, directory: Path) -> str | None:
    """The cause of a build that lacks a header which the project's own make generates; else None."""
    from kscaffold.make.generated import maker_of  # start-up time: only when a build failed

    for complaint in report.complaints:
        missing = re.match(r"(\S+\.h): No such file or directory", complaint.text)
        if missing and (maker := maker_of(missing[1], directory)) and maker.command:
            return maker.cause
    return None
