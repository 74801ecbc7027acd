"""`info`: what a .ko carries about itself."""

from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.errors import EXIT_NO, EXIT_YES, KscaffoldError

Kos = Annotated[
    list[str] | None, typer.Argument(metavar="[KO]...", help="Modules, a project, or directories of .ko.")
]

_BELOW = "\n" + " " * 16  # a value's next line


def info(
    kos: Kos = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    module: options.Module = None,
    directory: options.Directory = None,
    offline: options.Offline = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Show what a .ko carries about itself, as modinfo does."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.module import modinfo_view as room  # start-up time
    from kscaffold.module.check import modules_in
    from kscaffold.project.meant import files_meant, meant

    here = directory or Path()
    m = meant(kos or [], here, module)
    paths = modules_in(files_meant(kos or [], m))
    if not paths:
        from kscaffold.kernel.choose import choose  # start-up time
        from kscaffold.project.find import find_project
        from kscaffold.project.known import built_targets

        where = find_project(m.directory)
        chosen = choose(kernel, offline=offline, progress=console.progress())
        paths = [target.ko for target in built_targets(where, chosen, m.module)]
    documents = []
    for path in paths:
        try:
            documents.append(room.info(path))
        except KscaffoldError as error:
            if len(paths) == 1:
                raise
            # The others shall have their answer.
            console.warn(console.printable(f"{error.what}: {error.cause}" if error.cause else error.what))
    for number, document in enumerate(documents):
        if number:
            console.out()
        for key, value in room.lines(document):
            said = console.printable_lines(str(value)).replace("\n", _BELOW)
            console.out(f"{console.printable(key) + ':':<15} {said}" if key else f"\t\t{said}")
    ok = len(documents) == len(paths)
    console.emit("info", ok, documents[0] if len(paths) == 1 else {"modules": documents})
    return EXIT_YES if ok else EXIT_NO
