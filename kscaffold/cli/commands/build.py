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
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODULE] [VARIABLE=VALUE]...", help="A module or project; for make."),
]


def build(
    words: Words = None,
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
    from kscaffold.project.meant import meant

    here, named = directory or Path.cwd(), [word for word in words or () if "=" not in word]
    if len(named) == 1 and named[0].endswith(".ko"):  # that is to be made
        here, named = here / Path(named[0]).parent, [Path(named[0]).stem]
    m = meant(named, here, module)
    module, progress = m.module, console.progress()
    variables = make_variables([word for word in words or () if "=" in word or m.files])
    where = find_project(m.directory)
    chosen = choose(kernel, offline=offline, progress=progress, programs=TO_BUILD)
    report = build_project(
        where,
        chosen,
        module=module,
        variables=variables,
        everything=verbose or any(w.startswith("V=") and w != "V=0" for w in variables),
        jobs=jobs,
        progress=progress,
    )
    names = {t.name for t in (report.project.named(module) if report.ok else report.modules)}
    modules = tuple(t for t in report.modules if t.name in names)
    built(report, modules)
    console.emit("build", report.ok, documents.build(report, modules))
    return EXIT_YES if report.ok else EXIT_NO
