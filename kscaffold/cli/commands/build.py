"""`build`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
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
    variables: Annotated[
        list[str] | None, typer.Argument(metavar="[VARIABLE=VALUE]...", help="For make's command line.")
    ] = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    jobs: Jobs = None,
    module: options.Module = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Build this project's modules, with the kernel's own Makefile."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.choose import TO_BUILD, choose  # start-up time
    from kscaffold.make.build_project import build_project
    from kscaffold.make.variables import make_variables
    from kscaffold.project.find import find_project

    where, progress = find_project(directory or Path.cwd()), console.progress()
    chosen = choose(kernel, offline=offline, progress=progress, programs=TO_BUILD)
    words = make_variables(variables or [])
    report = build_project(
        where,
        chosen,
        module=module,
        variables=words,
        everything=verbose or any(w.startswith("V=") and w != "V=0" for w in words),
        jobs=jobs,
        progress=progress,
    )
    meant = {t.name for t in (report.project.named(module) if report.ok else report.modules)}
    modules = tuple(t for t in report.modules if t.name in meant)
    built(report, modules)
    console.emit("build", report.ok, documents.build(report, modules))
    return EXIT_YES if report.ok else EXIT_NO
