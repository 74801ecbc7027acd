"""`build`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import build as documents
from kscaffold.cli.render.build import built
from kscaffold.errors import EXIT_NO, EXIT_YES

if TYPE_CHECKING:
    pass

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", metavar="N", min=1, max=options.MOST_JOBS, help="Compilers at once."),
]


def build(
    kernel: options.KernelName = None,
    jobs: Jobs = None,
    module: options.Module = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Build this project's modules, with the kernel's own Makefile."""
    from kscaffold.kernel.choose import choose  # start-up time
    from kscaffold.make.fingerprint.compare import fresh_targets
    from kscaffold.make.report import nothing_to_do
    from kscaffold.project.find import find_project

    started = time.monotonic()
    where = find_project(directory or Path.cwd())
    chosen = choose(kernel, offline=offline, progress=console.progress())
    project = fresh_targets(where, chosen)
    if project:
        modules = project.named(module)
        report = nothing_to_do(project, chosen, time.monotonic() - started)
    else:
        from kscaffold.make.build import build as build_project  # start-up time
        from kscaffold.project.ask import read_project

        project = read_project(where, chosen)
        modules = project.named(module)
        report = build_project(project, chosen, progress=console.progress(), everything=verbose, jobs=jobs)
    built(report, modules)
    console.emit("build", report.ok, documents.build(report, modules))
    return EXIT_YES if report.ok else EXIT_NO
