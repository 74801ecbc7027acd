"""`kscaffold adopt`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.documents import project as documents
from kscaffold.errors import EXIT_NO, EXIT_YES

if TYPE_CHECKING:
    from kscaffold.scaffold.adopt.adopt import Adoption


def adopt(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A directory of module sources.", show_default=False)
    ] = Path(),
    write: Annotated[bool, typer.Option("--write", help="Write the Kbuild that is proposed.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Mend old habits in Kbuild and Makefile.")] = False,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    there: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Say what an existing directory builds, as make does. Proposes a Kbuild where there is none.

    Looking runs make on what is there, and so every $(shell …) of its Kbuild and Makefile, as you. A
    directory that another user owns or may write to is asked about first.
    """
    kernel = options.spec_of(kernel, arch)
    directory = there / directory if there else directory
    from kscaffold.kernel.choose import find_kernel  # start-up time
    from kscaffold.scaffold.adopt.adopt import adopt as adopt_directory

    adopted = adopt_directory(directory, find_kernel(kernel), write=write, fix=fix, show=_show)
    if adopted.written:
        names = ", ".join(_name(adopted, p) for p in adopted.written)
        console.step("Wrote", names)
        if adopted.proposal:
            _modules(adopted)
    _next(adopted, directory, kernel)
    ok = adopted.problem is None
    console.emit("adopt", ok, documents.adopt(adopted))
    return EXIT_YES if ok else EXIT_NO


def _name(adopted: "Adoption", path: Path) -> str:
    return str(path.relative_to(adopted.directory)) if path.is_relative_to(adopted.directory) else str(path)


def _show(adopted: "Adoption") -> None:
    """Show the modules, what is to be noted of them, and the changes before they are made."""
    _modules(adopted)
    if adopted.own_way:
        why = f"the project's own make builds it ({adopted.own_way})"
        console.step("Note", f"{why}; kscaffold build runs that make")
    if adopted.problem:
        console.warn(adopted.problem.what)
    for path in adopted.unused:
        console.note(f"{_name(adopted, path)}: no module is made of it")
    for found in adopted.deprecations:
        place = f"{_name(adopted, found.file)}:{found.habit.line}"
        console.warn(f"{place}: {found.habit.message}", fix=found.habit.fix)
    if adopted.proposal:
        for text in adopted.proposal.unsure:
            console.note(f"  note: {text}")
    for line in adopted.diff.splitlines():
        console.out(console.printable(line))


def _modules(adopted: "Adoption") -> None:
    if adopted.project is None:
        return
    for target in adopted.project.targets:
        console.out(f"{_name(adopted, target.ko)}: {' '.join(target.objects)}")
        for name in adopted.missing.get(target.ko, ()):
            console.warn(f"{name} of {target.ko.name} has no source")
    for where, variable, value in adopted.project.flags:
        console.detail(f"{_name(adopted, where)}: {variable} = {value}")


def _next(adopted: "Adoption", directory: Path, kernel: str | None) -> None:
    from kscaffold.kernel.choose import options_of  # start-up time

    named = f" {options_of(kernel)}" if kernel else ""
    given = "" if directory == Path() else f" {directory}"
    pending = [c for c in adopted.changes if c.path not in adopted.written]
    if any(c.before is None for c in pending):
        console.step("Next", f"kscaffold adopt{given}{named} --write")
    elif pending:
        console.step("Next", f"kscaffold adopt{given}{named} --fix")
    else:
        console.step("Next", f"kscaffold load{f' -C{given}' if given else ''}{named}")
