"""`list`."""

from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer

All = Annotated[bool, typer.Option("--all", "-a", help="Every module, not only this project's.")]

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Modules or their .ko, or a project; default: this one's."),
]


def list_modules(
    names: Names = None,
    everything: All = False,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    host: options.Host = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """List the loaded modules of this project (lsmod)."""
    kernel = options.spec_of(kernel, arch)
    # start-up time
    from kscaffold.cli.render import list as render
    from kscaffold.load.loaded_modules import loaded_modules, modules_meant
    from kscaffold.load.open_target import check_runs

    at, named = modules_meant(names or (), directory or Path.cwd())
    check_runs(at, kernel, host=host)
    found = loaded_modules(at, named, host=host, everything=everything, progress=console.progress())
    return render.listed(found, named)
