"""`unload`."""

from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Modules, or a project; default: this one's.")
]


def unload(
    names: Names = None,
    module: options.Module = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    host: options.Host = False,
    timeout: options.Timeout = 10.0,
    watch: options.Watch = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Unload this project's modules, or the named ones (rmmod)."""
    kernel = options.spec_of(kernel, arch)
    # start-up time
    from kscaffold.cli.render import load as render
    from kscaffold.load.open_target import check_runs
    from kscaffold.load.verbs.unload import UnloadRequest
    from kscaffold.load.verbs.unload import unload as unload_modules
    from kscaffold.project.find import home, is_project
    from kscaffold.project.meant import meant

    here, words = directory or Path.cwd(), names or []
    m = meant(words, here, module)
    if any(words) and not m.files and m.module == module and is_project(m.directory):
        here, words = m.directory, []  # a project's modules, as load takes them
    at = home(here)
    check_runs(at, kernel, host=host)
    reports = unload_modules(
        UnloadRequest(at, tuple(words), module, host),
        timeout=timeout,
        watch=watch,
        progress=console.progress(),
        on_unload=render.unloaded,
        on_residue=render.left,
    )
    return render.unloads("unload", reports)
