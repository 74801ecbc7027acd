"""`clean`."""

from pathlib import Path

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import build as documents
from kscaffold.errors import EXIT_YES


def clean(
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Remove what building left in this project (make clean)."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.choose import choose  # start-up time
    from kscaffold.make.clean import clean as clean_project
    from kscaffold.project.find import find_project

    where, progress = find_project(directory or Path.cwd()), console.progress()
    chosen = choose(kernel, offline=offline, progress=progress)
    report = clean_project(where, chosen, progress=progress)
    count = len(report.removed)
    console.step("Removed", f"{count} file{'' if count == 1 else 's'}" if count else "nothing: it was clean")
    for name in report.removed:
        console.detail(f"  {name}")
    if report.kept:
        console.step(
            "Kept", f"{', '.join(report.kept)}: make clean takes files of such names, no build made these"
        )
    console.emit("clean", True, documents.clean(where, report.removed, report.kept))
    return EXIT_YES
