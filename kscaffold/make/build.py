"""Build a project's modules for a kernel: Kbuild does it, we call it right and say what it said."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from kscaffold import process
from kscaffold.errors import left_by_root, root_owned
from kscaffold.files import reader
from kscaffold.files.identity import identify_if_there
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.compiler import Toolchain, toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv
from kscaffold.make.compile_commands import write_database
from kscaffold.make.fingerprint import compare, record
from kscaffold.make.fingerprint.other_kernel import built_for_another, forget_objects
from kscaffold.make.lock import noted_group, project_lock
from kscaffold.make.log import BuildLog
from kscaffold.make.output import Output
from kscaffold.make.report import BuildReport as BuildReport
from kscaffold.make.report import nothing_to_do
from kscaffold.progress import SILENT, Progress
from kscaffold.project.ask import read_project
from kscaffold.project.project import Project

TIMEOUT = 3600.0  # seconds


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
    started = time.monotonic()
    with project_lock(project.directory, progress) as state:
        if compare.is_fresh(project, kernel):
            return nothing_to_do(project, kernel, time.monotonic() - started)
        problem = build_problem(kernel)
        if problem:
            raise problem
        assert kernel.build is not None
        tree = read_tree(kernel.build, kernel.arch)
        tools = toolchain(tree)
        if built_for_another(project, tree, compare.last_tree(project.directory)):
            progress.step(
                "Rebuilding", f"{project.directory.name}: what is there was built for another kernel"
            )
            forget_objects(project)
        # The Kbuild may have changed since the caller asked: what is recorded must be what make reads.
        started_at = record.stamp(state)
        project = read_project(project.directory, kernel, details=True)
        _require_plain_output(project)
        return _make(project, tree, tools, _Call(state, started_at, progress, everything, jobs, timeout))


def _require_plain_output(project: Project) -> None:
    """Refuse what Kbuild would open to read or to write and wait for: a FIFO or a device in the place of its
    own files.
    """
    here = project.directory
    names = ("Module.symvers", "modules.order", ".Module.symvers.cmd", ".modules.order.cmd")
    made = [
        t.ko.with_suffix(end) for t in project.targets for end in (".ko", ".o", ".mod", ".mod.c", ".mod.o")
    ]
    for file in [*(here / name for name in names), *made]:
        reader.require_plain(file)
        if left_by_root(file) and not os.access(file, os.W_OK):
            raise root_owned(left_by_root(file) or file)


@dataclass(frozen=True, slots=True)
class _Call:
    state: Path
    started_at: int
    progress: Progress
    everything: bool
    jobs: int | None
    timeout: float


def _make(project: Project, tree: BuildTree, tools: Toolchain, call: _Call) -> BuildReport:
    started = time.monotonic()
    names = ", ".join(t.name for t in project.targets)
    output = Output(
        project.directory,
        call.progress.note,
        call.everything,
        on_work=lambda: call.progress.step("Building", f"{names} for {tree.release}"),
    )
    before = [identify_if_there(t.ko) for t in project.targets]
    record.begin_record(tree, call.state)
    log = BuildLog()
    argv = make_argv(project.directory, tree, tools, "modules", call.jobs)
    log.add(f"$ {process.display(argv)}")
    if call.everything:
        call.progress.note(f"$ {process.display(argv)}")

    def take(line: str) -> None:
        log.add(line)
        output.feed(line)

    try:
        with noted_group(call.state) as note:
            status = process.stream(argv, take, timeout=call.timeout, on_start=note)
    finally:
        log.write(call.state / "make.log")
    missing = [t for t in project.targets if not t.ko.exists()]
    # A module that lists itself is linked without its own source: up to 5.15 make only mentions it.
    hollow = any(c.text.startswith("Circular ") for c in output.complaints)
    ok = status == 0 and not missing and not hollow
    explanation = None
    if not ok:
        from kscaffold.make.explain import explain_build  # start-up time: only when a build failed

        explanation = explain_build(project, tree, output.complaints, log.lines())
    else:
        write_database(project, tree, call.state)
        unsure = record.write_record(project, tree, tools, call.state, call.started_at)
        if unsure and call.everything:
            call.progress.note(f"the next build asks make again: {unsure}")
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
