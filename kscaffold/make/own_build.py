"""Build a project by its own make: the report, as that of a build by Kbuild alone."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.files.identity import identify_if_there
from kscaffold.files.tree import below
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build import (
    build_as_asked,
    explained,
    forget_another_s,
    told_of_warnings,
    tools_for,
)
from kscaffold.make.compile_commands import write_database
from kscaffold.make.fingerprint import record
from kscaffold.make.fingerprint.own_record import Facts, changed_files, files_of, write_own_record
from kscaffold.make.first_error import RULE_FAILED, failed_before_kbuild
from kscaffold.make.lock import project_lock
from kscaffold.make.log import BuildLog
from kscaffold.make.output import Output
from kscaffold.make.own_way import STAND_IN, OwnBuild, OwnWay, run_own_way
from kscaffold.make.report import BuildReport
from kscaffold.make.request import BuildRequest
from kscaffold.make.variables import show_commands
from kscaffold.project.ask import read_project
from kscaffold.project.known import know_targets, known_changes, known_targets
from kscaffold.project.makefile import leads_to_kbuild
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.records import replace


def _forget_half_made(directory: Path, log: BuildLog, before: Mapping[str, object] | None) -> None:
    """Remove what a rule that failed had begun to write: make itself would take it for made the next time
    (it removes such files only where a Makefile has .DELETE_ON_ERROR).
    """
    for line in log.lines():
        if failed := RULE_FAILED.match(line):
            file = directory / failed["target"]
            if before is not None and str(file) not in before and file.is_file() and not file.is_symlink():
                file.unlink()


def _require_plain_sources(files: Iterable[str]) -> None:
    for file in files:
        if file.endswith((".c", ".h", ".S")):
            reader.require_plain(Path(file), reader.MOST_TEXT)


def build_own_way(directory: Path, kernel: Kernel, way: OwnWay, request: BuildRequest) -> BuildReport:
    """Build by the project's own make; by Kbuild alone where that make does not come to it."""
    started = time.monotonic()
    with project_lock(directory, request.progress) as state:
        tree, tools = tools_for(kernel, request)
        if (known := known_targets(directory)) is not None:
            forget_another_s(known, tree, request)
        files = files_of(directory)
        _require_plain_sources(files or ())
        before = {t.ko: identify_if_there(t.ko) for t in (known.targets if known else ())}
        started_at = record.stamp(state)
        record.begin_record(tree, state)
        program = "dkms.conf's commands" if way.dkms else "the project's own make"
        request.progress.step("Building", f"{directory.name} for {tree.name} by {program}: {way.reason}")
        shows = show_commands(request.variables)
        output, log = Output(directory, request.progress.note, request.everything, shows), BuildLog()

        def take(line: str) -> None:
            line = STAND_IN.sub("make", line)
            log.add(line)
            if request.everything or not line.startswith(("$ ", "make -C ")):
                output.feed(line)

        try:
            done = run_own_way(directory, kernel, way, take, request, (tree, tools, state))
        finally:
            log.write(state / "make.log")
        if done.status != 0:
            _forget_half_made(directory, log, files)
        project = _where_left(done.project, started_at)
        made = bool(project.targets) and all(t.ko.exists() for t in project.targets)
        report = BuildReport(
            ok=done.built and made,
            project=project,
            modules=project.targets,
            release=tree.release,
            arch=tree.arch,
            log=state / "make.log",
            complaints=tuple(output.complaints),
            notes=(*tools.notes, *_notes(done)),
            seconds=time.monotonic() - started,
            up_to_date=made and before == {t.ko: identify_if_there(t.ko) for t in project.targets},
        )
        if report.ok:
            return _kept(report, done.status, log, (tree, tools, state, files), request)
        cause = None if done.reached else failed_before_kbuild(log.lines(), directory)
        report = replace(report, explanation=cause or explained(project, tree, output, log))
    if done.reached and (made or not done.built):
        return report
    if way.dkms and leads_to_kbuild(directory):
        return build_own_way(directory, kernel, replace(way, dkms=False), request)
    why = "left no module in its place" if done.reached else "did not come to it"
    return _by_kbuild(directory, kernel, request, f"{program} {why}") or report


def _kept(
    report: BuildReport,
    status: int,
    log: BuildLog,
    seen: tuple[BuildTree, Toolchain, Path, Facts | None],
    request: BuildRequest,
) -> BuildReport:
    """The report on a build that succeeded, of which is kept what the next ones want to know. `status`: that
    of the project's make. `seen`: the tree, how make is called for it, the project's state directory, and the
    project's files when the build began.
    """
    (tree, tools, state, before), project = seen, report.project
    write_database(project, tree, state)
    facts, last = (before, files_of(project.directory)), known_changes(project.directory)
    know_targets(project, changed_files(*facts))
    unsure = None if request.variables else write_own_record(project, tree, tools, state, facts, last)
    if unsure and request.everything:
        request.progress.note(f"the next build asks its own make again: {unsure}")
    left = f"its own make ended with {status} after its modules were built"
    notes = [*report.notes, *([left] if status != 0 else []), *told_of_warnings(log, report.complaints)]
    return replace(report, notes=tuple(notes))


def _where_left(project: Project, since: int) -> Project:
    """The project with each module where its make left it: a recipe may move what Kbuild linked. `since`: the
    time (ns) before which nothing of this build was made.
    """

    def left(target: ModuleTarget) -> ModuleTarget:
        if target.ko.exists():
            return target
        found = {f: f.stat().st_mtime_ns for f in below(project.directory, target.ko.name) if f.is_file()}
        newest = max(found, key=found.__getitem__, default=None)
        return replace(target, ko=newest) if newest and found[newest] >= since else target

    return replace(project, targets=tuple(map(left, project.targets)))


def _notes(done: OwnBuild) -> list[str]:
    """What dkms would have done otherwise."""
    missing = f"dkms.conf runs {done.missing} first, which is not there: done without it"
    return [*([done.exclusion] if done.exclusion else []), *([missing] if done.missing else [])]


def _by_kbuild(directory: Path, kernel: Kernel, request: BuildRequest, why: str) -> BuildReport | None:
    """The report on a build by Kbuild alone, where that succeeds."""
    with suppress(KscaffoldError):
        project = read_project(directory, kernel, building=True)
        request.progress.step("Building", f"{directory.name} by Kbuild: {why}")
        plain = build_as_asked(project, kernel, request)
        return plain if plain.ok else None
    return None
