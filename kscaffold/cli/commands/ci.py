"""`ci github` and `ci gitlab`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.errors import EXIT_YES, UsageError

app = typer.Typer(help="The workflow file that tests the modules on every kernel.", no_args_is_help=True)

Kernels = Annotated[
    list[str] | None,
    typer.Option("--kernel", "-k", metavar="R", help="A kernel to test on; repeatable. Default: 6.1, 6.12."),
]
Shards = Annotated[
    int, typer.Option("--shards", metavar="N", min=1, max=100, help="The tests of a kernel in N jobs.")
]
Write = Annotated[bool, typer.Option("--write", help="Write the file where the service looks for it.")]
_RELEASE = re.compile(r"[0-9][\w.+~-]*")
_USUAL = ("6.1", "6.12")


@app.command()
def github(
    kernel: Kernels = None,
    shards: Shards = 1,
    write: Write = False,
    directory: options.Directory = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Print a workflow for GitHub Actions, or write it."""
    return _give("github", kernel or list(_USUAL), shards, (directory or Path.cwd()) if write else None)


@app.command()
def gitlab(
    kernel: Kernels = None,
    shards: Shards = 1,
    write: Write = False,
    directory: options.Directory = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Print a pipeline for GitLab CI, or write it."""
    return _give("gitlab", kernel or list(_USUAL), shards, (directory or Path.cwd()) if write else None)


def _give(service: str, kernels: list[str], shards: int, into: Path | None) -> int:
    """Print the file, or write it below a directory, where there is none."""
    from kscaffold.files.atomic import write_new  # start-up time
    from kscaffold.testing.workflow import SERVICES, workflow

    for release in kernels:
        if not _RELEASE.fullmatch(release):
            raise UsageError("KS654", f"{release!r} is no kernel's release", fix="kscaffold kernel list")
    text = workflow(service, kernels, shards)
    path = into / SERVICES[service].path if into else None
    if path:
        if path.exists():
            raise UsageError("KS655", f"{path} is there already", fix=f"kscaffold ci {service}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, text.encode())
        console.step("Wrote", str(path))
    elif not console.json_mode:
        console.out(text.rstrip("\n"))
    console.emit(f"ci {service}", True, {"path": str(path) if path else None, "text": text})
    return EXIT_YES
