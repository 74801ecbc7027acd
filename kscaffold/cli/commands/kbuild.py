"""`kscaffold kbuild`: edit what a project builds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import project as documents
from kscaffold.errors import EXIT_YES

if TYPE_CHECKING:
    from kscaffold.scaffold.kbuild.edit import Edited

app = typer.Typer(help="Edit what this project builds, in its own Kbuild.", no_args_is_help=True)
Into = Annotated[
    str | None, typer.Option("--module", "-m", metavar="NAME", help="Into this one, where there are several.")
]


@app.command("add-object")
def add_object(
    name: Annotated[str, typer.Argument(metavar="NAME", help="NAME.o, from NAME.c.")],
    module: Into = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Link one more object into a module."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.choose import find_kernel  # start-up time
    from kscaffold.project.find import find_project
    from kscaffold.scaffold.kbuild import edit

    where = find_project(directory or Path.cwd())
    return _print_edit("kbuild add-object", edit.add_object(where, find_kernel(kernel), name, module))


@app.command("add-module")
def add_module(
    name: Annotated[str, typer.Argument(metavar="NAME", help="NAME.ko, from NAME.c.")],
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Build one more module."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.choose import find_kernel  # start-up time
    from kscaffold.project.find import find_project
    from kscaffold.scaffold.kbuild import edit

    where = find_project(directory or Path.cwd())
    return _print_edit("kbuild add-module", edit.add_module(where, find_kernel(kernel), name))


@app.command("rename")
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A module, or an object of one.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name. No source is renamed.")],
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Give a module or an object another name."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.choose import find_kernel  # start-up time
    from kscaffold.project.find import find_project
    from kscaffold.scaffold.kbuild import edit

    where = find_project(directory or Path.cwd())
    return _print_edit("kbuild rename", edit.rename(where, find_kernel(kernel), old, new))


def _print_edit(command: str, edited: "Edited") -> int:
    root = edited.project.directory
    diff = edited.change.diff(root)
    for line in diff.splitlines():
        console.out(console.printable(line))
    for target in edited.project.targets:
        console.step("Builds", f"{target.ko.relative_to(root)} from {' '.join(target.objects)}")
    for note in edited.notes:
        console.step("Next", note)
    console.emit(command, True, documents.kbuild(edited, diff))
    return EXIT_YES
