"""`build` and `clean`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import build as documents
from kscaffold.errors import EXIT_NO, EXIT_YES

if TYPE_CHECKING:
    from kscaffold.make.report import BuildReport
    from kscaffold.project.project import ModuleTarget

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", metavar="N", min=1, max=options.MOST_JOBS, help="Compilers at once."),
]


def build(
    variables: Annotated[
        list[str] | None, typer.Argument(metavar="[VARIABLE=VALUE]...", help="For make's command line.")
    ] = None,
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
    chosen = choose(kernel, offline=offline, say=console.step)
    project = None if variables else fresh_targets(where, chosen)
    if project:
        modules = project.named(module)
        report = nothing_to_do(project, chosen, time.monotonic() - started)
    else:
        from kscaffold.make.build import build_directory  # start-up time
        from kscaffold.make.request import BuildRequest
        from kscaffold.make.variables import make_variables

        words = make_variables(variables or [])
        shown = verbose or any(w.startswith("V=") and w != "V=0" for w in words)
        request = BuildRequest(console.step, _show, shown, jobs, words)
        report = build_directory(where, chosen, request, module)
        modules = report.project.named(module) if report.ok else report.modules
    _render(report, modules)
    console.emit("build", report.ok, documents.build(report, modules))
    return EXIT_YES if report.ok else EXIT_NO


def clean(
    kernel: options.KernelName = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Remove what building left in this project (make clean)."""
    from kscaffold.kernel.choose import choose  # start-up time
    from kscaffold.make.clean import clean as clean_project
    from kscaffold.project.find import find_project

    where = find_project(directory or Path.cwd())
    chosen = choose(kernel, offline=offline, say=console.step)
    report = clean_project(where, chosen, say=console.step)
    count = len(report.removed)
    console.step("Removed", f"{count} file{'' if count == 1 else 's'}" if count else "nothing: it was clean")
    for name in report.removed:
        console.detail(f"  {name}")
    console.emit("clean", True, documents.clean(where, report.removed))
    return EXIT_YES


def _show(line: str) -> None:
    console.note(console.printable(line))


def _render(report: "BuildReport", modules: "tuple[ModuleTarget, ...]") -> None:
    for note in report.notes:
        console.step("Note", note)
    if report.ok:
        names = ", ".join(t.ko.name for t in modules)
        done = "is up to date" if report.up_to_date else f"in {report.seconds:.1f} s"
        console.step("Finished", f"{names} {done}")
    elif report.explanation:
        why = report.explanation
        console.note(f"{console.styled('error', 'red')}[{why.code}]: {why.what}")
        for word, text in (("cause", why.cause), ("fix", why.fix)):
            if text:
                console.note(f"{word:>7}: {text}")
        console.note(f"    log: {report.log}")


def failed(command: str, report: "BuildReport") -> int:
    """A build that another command began with has failed: that is the command's answer."""
    _render(report, ())
    console.emit(command, False, {"build": documents.build(report, ())})
    return EXIT_NO
