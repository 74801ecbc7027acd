"""Build a project's modules for a kernel: Kbuild does it, we call it right and say what it said."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.errors import left_by_root, root_owned
from kscaffold.files import reader
from kscaffold.files.identity import identify_if_there
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.compiler import Toolchain, toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv, make_environment
from kscaffold.make.compile_commands import write_database
from kscaffold.make.fingerprint import compare, record
from kscaffold.make.fingerprint.cmd_file import command_file
from kscaffold.make.fingerprint.other_kernel import built_for_another, forget_objects
from kscaffold.make.included_headers import directories_of, require_plain_includes
from kscaffold.make.lock import noted_group, project_lock
from kscaffold.make.log import BuildLog
from kscaffold.make.output import Output
from kscaffold.make.report import BuildExplanation, CompilerMessage, nothing_to_do
from kscaffold.make.report import BuildReport as BuildReport
from kscaffold.make.request import TIMEOUT, BuildRequest
from kscaffold.make.try_run import open_try_run, with_answers
from kscaffold.make.variables import show_commands, with_variables
from kscaffold.progress import SILENT, Progress, Work
from kscaffold.project.ask import read_project, sources_of
from kscaffold.project.project import Project
from kscaffold.records import dataclass

# What modpost only warns of in some series, though the module is not what its author wants.
_WARNED = ("KS112", "KS127", "KS128")


def build(
    project: Project,
    kernel: Kernel,
    *,
    progress: Progress = SILENT,
    everything: bool = False,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
) -> BuildReport:
    """Build all modules of `project` for `kernel`; a failed build is a report that is not ok.

    `progress.note` gets the compiler's and modpost's complaints line by line, with `everything` all of
    make's output. Raises KscaffoldError when make can't be called: what `build_problem` and `toolchain` say,
    KS105 when another process builds here; DeadlineError after `timeout` seconds.
    """
    return build_as_asked(project, kernel, BuildRequest(progress, everything, jobs, (), timeout))


def build_as_asked(project: Project, kernel: Kernel, request: BuildRequest) -> BuildReport:
    """Build as `build` does, by a request."""
    started = time.monotonic()
    with project_lock(project.directory, request.progress) as state:
        if not request.variables and compare.is_fresh(project, kernel):
            return nothing_to_do(project, kernel, time.monotonic() - started)
        tree, tools = tools_for(kernel, request)
        forget_another_s(project, tree, request)
        # The Kbuild may have changed since the caller asked: what is recorded must be what make reads.
        started_at = record.stamp(state)
        project = read_project(project.directory, kernel, details=True, building=True)
        _require_plain_output(project)
        require_plain_includes(sources_of(project), directories_of(project))
        return _make(project, tree, tools, _Call(state, started_at, request))


def tools_for(kernel: Kernel, request: BuildRequest) -> tuple[BuildTree, Toolchain]:
    """The kernel's tree and how make is called for it. Raises what `build` raises when it can't be."""
    problem = build_problem(kernel)
    if problem:
        raise problem
    assert kernel.build is not None
    tree = read_tree(kernel.build, kernel.arch)
    return tree, with_variables(toolchain(tree), tree, request.variables)


def forget_another_s(project: Project, tree: BuildTree, request: BuildRequest) -> None:
    """Have all rebuilt where what is there was built for another kernel."""
    if built_for_another(project, tree, compare.last_tree(project.directory)):
        what = f"{project.directory.name}: what is there was built for another kernel"
        request.progress.step("Rebuilding", what)
        forget_objects(project)


def _require_plain_output(project: Project) -> None:
    """Refuse what Kbuild and the compiler would open to read or to write and wait for: a FIFO or a device in
    the place of Kbuild's own files, of what is linked, or of a header beside the sources.
    """
    here = project.directory
    names = ("Module.symvers", "modules.order", ".Module.symvers.cmd", ".modules.order.cmd")
    made = [
        t.ko.with_suffix(end) for t in project.targets for end in (".ko", ".o", ".mod", ".mod.c", ".mod.o")
    ]
    made += [t.directory / o for t in project.targets for o in t.objects]
    headers = [h for place in {here, *(file.parent for file in made)} for h in place.glob("*.h")]
    files = [*(here / name for name in names), *made, *map(command_file, made), *headers]
    for file in dict.fromkeys(files):
        is_text = file.suffix in (".h", ".c", ".cmd", ".mod", ".order")
        reader.require_plain(file, reader.MOST_TEXT if is_text else reader.MOST_IMAGE)
        wanted = os.R_OK if file.suffix == ".h" else os.W_OK
        if (left := left_by_root(file)) and not os.access(file, wanted):
            raise root_owned(left)


@dataclass(frozen=True, slots=True)
class _Call:
    state: Path
    started_at: int
    request: BuildRequest


def _make(project: Project, tree: BuildTree, tools: Toolchain, call: _Call) -> BuildReport:
    started, request = time.monotonic(), call.request
    working = contextlib.ExitStack()
    output = Output(
        project.directory,
        request.progress.note,
        request.everything,
        show_commands(request.variables),
        on_work=lambda: working.enter_context(request.progress.work(_work(project, tree, output))),
    )
    before = [identify_if_there(t.ko) for t in project.targets]
    record.begin_record(tree, call.state)
    log = BuildLog()
    argv = make_argv(project.directory, tree, tools, "modules", request.jobs)
    log.add(f"$ {process.display(argv)}")
    if request.everything:
        request.progress.note(f"$ {process.display(argv)}")

    def take(line: str) -> None:
        log.add(line)
        output.feed(line)

    answers = open_try_run(tree, tools, call.state, request.variables)
    env = with_answers(make_environment(project.directory), answers)
    try:
        with working, noted_group(call.state) as note:
            status = process.stream(argv, take, timeout=request.timeout, env=env, on_start=note)
    finally:
        log.write(call.state / "make.log")
    missing = [t for t in project.targets if not t.ko.exists()]
    # A module that lists itself is linked without its own source: up to 5.15 make only mentions it.
    hollow = any(c.text.startswith("Circular ") for c in output.complaints)
    ok = status == 0 and not missing and not hollow
    explanation = None
    if not ok:
        explanation = explained(project, tree, output, log)
    else:
        if answers:
            answers.keep()
        write_database(project, tree, call.state)
        if not request.variables:  # what they changed is not in the record
            unsure = record.write_record(project, tree, tools, call.state, call.started_at)
            if unsure and request.everything:
                request.progress.note(f"the next build asks make again: {unsure}")
    return BuildReport(
        ok=ok,
        project=project,
        modules=project.targets,
        release=tree.release,
        arch=tree.arch,
        log=call.state / "make.log",
        complaints=tuple(output.complaints),
        notes=(*tools.notes, *(told_of_warnings(log, output.complaints) if ok else ())),
        seconds=time.monotonic() - started,
        up_to_date=ok and before == [identify_if_there(t.ko) for t in project.targets],
        explanation=explanation,
    )


def _work(project: Project, tree: BuildTree, output: Output) -> Work:
    """A build to who waits for it: make tells each file that it makes."""
    names = ", ".join(t.name for t in project.targets)
    # Its objects, where there are several one of them all; then .mod.o and .ko, and modpost for all modules.
    files = sum(len(t.objects) + (len(t.objects) > 1) + 2 for t in project.targets) + 1
    return Work("Building", f"{names} for {tree.name}", lambda: output.made, files, "files")


def told_of_warnings(log: BuildLog, complaints: Sequence[CompilerMessage]) -> list[str]:
    """What a build that succeeded tells of modpost's warnings: such a module loads, and crashes later, or is
    refused.
    """
    if not complaints:
        return []
    from kscaffold.diagnosis import catalogue  # start-up time: few builds have warnings

    matches = catalogue.match([line for line in log.lines() if "modpost" in line], "1")
    wanted = [f for f in matches if f.entry.code in _WARNED]
    return [f"{f.cause}: {f.fix} (kscaffold explain {f.entry.code})" for f in wanted]


def explained(project: Project, tree: BuildTree, output: Output, log: BuildLog) -> BuildExplanation:
    """Why a build failed."""
    from kscaffold.make.explain import explain_build  # start-up time: only when a build failed
    from kscaffold.make.first_error import with_submodules

    found = explain_build(project, tree, output.complaints, log.lines())
    return with_submodules(found, project.directory)
