"""Build a project's modules for a kernel: Kbuild does it, we call it right and say what it said."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files.identity import identify_if_there
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.compiler import Toolchain, toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv, make_environment
from kscaffold.make.compile_commands import write_database
from kscaffold.make.fingerprint import compare, record
from kscaffold.make.fingerprint.other_kernel import built_for_another, forget_objects
from kscaffold.make.lock import Say, noted_group, project_lock
from kscaffold.make.log import BuildLog
from kscaffold.make.output import Output
from kscaffold.make.own.way import OwnWay, last_resort, own_way, run_own_way
from kscaffold.make.report import BuildExplanation, nothing_to_do
from kscaffold.make.report import BuildReport as BuildReport
from kscaffold.make.request import TIMEOUT, BuildRequest
from kscaffold.make.variables import with_variables
from kscaffold.project.ask import read_project
from kscaffold.project.known import know_targets, known_targets
from kscaffold.project.makefile import read_makefile
from kscaffold.project.project import Project

# Where Kbuild can't say what is built, the project's own make may: no Kbuild, one that make can't read
# before something is made, one without a module.
_FOR_OWN_MAKE = frozenset({"KS101", "KS103", "KS104", "KS159"})


def build_directory(
    directory: Path, kernel: Kernel, request: BuildRequest, module: str | None = None
) -> BuildReport:
    """Build what the project in `directory` builds for `kernel`: by Kbuild, and where that alone is not
    enough in the project's own way; a failed build is a report that is not ok.

    `module`: the one that is meant. Raises UsageError KS109 where the project has none of that name, and what
    `build` and `read_project` raise.
    """
    directory = directory.resolve()
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
            return _build(project, kernel, request)
    report = _build_own_way(directory, kernel, way, request)
    if report.ok:
        report.project.named(module)
    return report


def build(
    project: Project,
    kernel: Kernel,
    *,
    say: Say,
    show: Callable[[str], None],
    everything: bool = False,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
) -> BuildReport:
    """Build all modules of `project` for `kernel`; a failed build is a report that is not ok.

    `show` gets the compiler's and modpost's complaints line by line, with `everything` all of make's
    output. Raises KscaffoldError when make can't be called: what `build_problem` and `toolchain` say,
    KS105 when another process builds here; DeadlineError after `timeout` seconds.
    """
    return _build(project, kernel, BuildRequest(say, show, everything, jobs, (), timeout))


def _build(project: Project, kernel: Kernel, request: BuildRequest) -> BuildReport:
    started = time.monotonic()
    with project_lock(project.directory, request.say) as state:
        if not request.variables and compare.is_fresh(project, kernel):
            return nothing_to_do(project, kernel, time.monotonic() - started)
        tree, tools = _tools(kernel, request)
        _forget_another_s(project, tree, request)
        # The Kbuild may have changed since the caller asked: what is recorded must be what make reads.
        started_at = record.stamp(state)
        project = read_project(project.directory, kernel, details=True)
        return _make(project, tree, tools, _Call(state, started_at, request))


def _tools(kernel: Kernel, request: BuildRequest) -> tuple[BuildTree, Toolchain]:
    problem = build_problem(kernel)
    if problem:
        raise problem
    assert kernel.build is not None
    tree = read_tree(kernel.build, kernel.arch)
    return tree, with_variables(toolchain(tree), tree, request.variables)


def _forget_another_s(project: Project, tree: BuildTree, request: BuildRequest) -> None:
    if built_for_another(project, tree, compare.last_tree(project.directory)):
        what = f"{project.directory.name}: what is there was built for another kernel"
        request.say("Rebuilding", what)
        forget_objects(project)


@dataclass(frozen=True, slots=True)
class _Call:
    state: Path
    started_at: int
    request: BuildRequest


def _make(project: Project, tree: BuildTree, tools: Toolchain, call: _Call) -> BuildReport:
    started, request = time.monotonic(), call.request
    names = ", ".join(t.name for t in project.targets)
    output = Output(
        project.directory,
        request.show,
        request.everything,
        on_work=lambda: request.say("Building", f"{names} for {tree.release}"),
    )
    before = [identify_if_there(t.ko) for t in project.targets]
    record.begin_record(tree, call.state)
    log = BuildLog()
    argv = make_argv(project.directory, tree, tools, "modules", request.jobs)
    log.add(f"$ {process.display(argv)}")
    if request.everything:
        request.show(f"$ {process.display(argv)}")

    def take(line: str) -> None:
        log.add(line)
        output.feed(line)

    env = make_environment(project.directory)
    try:
        with noted_group(call.state) as note:
            status = process.stream(argv, take, timeout=request.timeout, env=env, on_start=note)
    finally:
        log.write(call.state / "make.log")
    missing = [t for t in project.targets if not t.ko.exists()]
    # A module that lists itself is linked without its own source: up to 5.15 make only mentions it.
    hollow = any(c.text.startswith("Circular ") for c in output.complaints)
    ok = status == 0 and not missing and not hollow
    explanation = None
    if not ok:
        explanation = _explained(project, tree, output, log)
    else:
        write_database(project, tree, call.state)
        if not request.variables:  # what they changed is not in the record
            unsure = record.write_record(project, tree, tools, call.state, call.started_at)
            if unsure and request.everything:
                request.show(f"the next build asks make again: {unsure}")
    return BuildReport(
        ok=ok,
        project=project,
        modules=project.targets,
        release=tree.release,
        log=call.state / "make.log",
        complaints=tuple(output.complaints),
        notes=tools.notes,
        seconds=time.monotonic() - started,
        up_to_date=ok and before == [identify_if_there(t.ko) for t in project.targets],
        explanation=explanation,
    )


def _explained(project: Project, tree: BuildTree, output: Output, log: BuildLog) -> BuildExplanation:
    from kscaffold.make.explain import explain_build  # start-up time: only when a build failed

    return explain_build(project, tree, output.complaints, log.lines())


def _build_own_way(directory: Path, kernel: Kernel, way: OwnWay, request: BuildRequest) -> BuildReport:
    """Build by the project's own make; by Kbuild alone where that make does not come to it."""
    started = time.monotonic()
    with project_lock(directory, request.say) as state:
        tree, tools = _tools(kernel, request)
        known = known_targets(directory)
        if known is not None:
            _forget_another_s(known, tree, request)
        before = {t.ko: identify_if_there(t.ko) for t in (known.targets if known else ())}
        record.begin_record(tree, state)
        program = "dkms.conf's commands" if way.dkms else "the project's own make"
        request.say("Building", f"{directory.name} for {tree.release} by {program}: {way.reason}")
        output, log = Output(directory, request.show, request.everything), BuildLog()

        def take(line: str) -> None:
            log.add(line)
            output.feed(line)

        try:
            done = run_own_way(directory, kernel, way, take, request, (tree, tools, state))
        finally:
            log.write(state / "make.log")
        project = done.project
        made = bool(project.targets) and all(t.ko.exists() for t in project.targets)
        report = BuildReport(
            ok=done.built and made,
            project=project,
            modules=project.targets,
            release=tree.release,
            log=state / "make.log",
            complaints=tuple(output.complaints),
            notes=tools.notes,
            seconds=time.monotonic() - started,
            up_to_date=made and before == {t.ko: identify_if_there(t.ko) for t in project.targets},
        )
        if report.ok:
            know_targets(project)
            write_database(project, tree, state)
            if done.status != 0:
                what = f"its own make ended with {done.status} after its modules were built"
                report = replace(report, notes=(*report.notes, what))
            return report
        report = replace(report, explanation=_explained(project, tree, output, log))
    if done.reached:
        return report
    if way.dkms and read_makefile(directory).reaches:
        return _build_own_way(directory, kernel, replace(way, dkms=False), request)
    with suppress(KscaffoldError):
        project = read_project(directory, kernel)
        request.say("Building", f"{directory.name} by Kbuild: {program} did not come to it")
        plain = _build(project, kernel, request)
        return plain if plain.ok else report
    return report
