"""`unload`."""

from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Modules; default: this project's.")
]


def unload(
    names: Names = None,
    module: options.Module = None,
    host: options.Host = False,
    timeout: options.Timeout = 10.0,
    watch: options.Watch = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Unload this project's modules, or the named ones (rmmod)."""
    # start-up time
    from kscaffold.cli.render import load as render
    from kscaffold.load.verbs.unload import UnloadRequest
    from kscaffold.load.verbs.unload import unload as unload_modules
    from kscaffold.project.find import home

    reports = unload_modules(
        UnloadRequest(home(directory or Path.cwd()), tuple(names or ()), module, host),
        timeout=timeout,
        watch=watch,
        progress=console.progress(),
        on_unload=render.unloaded,
    )
    return render.unloads("unload", reports)
