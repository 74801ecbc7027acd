"""`sandbox status`, `stop` and `shell`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import machine as documents
from kscaffold.errors import EXIT_YES, UsageError

app = typer.Typer(help="The throwaway machines that modules are loaded into.", no_args_is_help=True)

All = Annotated[
    bool, typer.Option("--all", "-a", help="Every sandbox of this user, not only this project's.")
]
# The directory may be gone while its sandbox still runs.
Gone = Annotated[
    Path | None, typer.Option("--directory", "-C", metavar="DIR", help="Act there instead of here.")
]


@app.command()
def status(json: options.Json = False, verbose: options.Verbose = False) -> int:
    """Show the running sandboxes, and the room their snapshots take."""
    # start-up time
    from kscaffold.load.live_crash import tell_last_crash, tell_news
    from kscaffold.project.find import home
    from kscaffold.sandbox.live import registry
    from kscaffold.sandbox.vm import snapshot

    cards, snapshots = registry.all_sandboxes(), snapshot.all_snapshots()
    console.emit("sandbox status", True, documents.sandbox_status(cards, snapshots))
    for c in cards:
        minutes = (time.time() - c.started) / 60
        extra = f"  {c.cmdline}" if c.cmdline else ""
        console.out(f"{c.project}  {c.name}  {c.accelerator}  {minutes:.0f} min  {c.rss >> 20} MB{extra}")
        tell_news(c.project, console.progress())
    if not cards:
        console.note("no sandbox is running")
        tell_last_crash(home(Path.cwd()), console.progress())
    if snapshots:
        total = sum(size for _, _, size, *_ in snapshots)
        kept = "1 snapshot takes" if len(snapshots) == 1 else f"{len(snapshots)} snapshots take"
        console.note(f"{kept} {total / 1e6:.0f} MB in {snapshot.snapshots_dir()}")
    return EXIT_YES


@app.command()
def stop(
    everything: All = False,
    directory: Gone = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """End this project's sandbox."""
    from kscaffold.project.find import home as project_home  # start-up time
    from kscaffold.sandbox.live import registry

    homes: list[Path] = (
        [c.project for c in registry.all_sandboxes()]
        if everything
        else [project_home(directory or Path.cwd())]
    )
    for home in filter(registry.has_copies, homes):
        from kscaffold.load.live_crash import tell_news  # start-up time: few sandboxes have an instrument

        tell_news(home, console.progress())
    stopped = [home for home in homes if registry.stop_sandbox(home)]
    for home in stopped:
        console.step("Stopped", str(home))
    if not stopped:
        console.note("no sandbox was running")
    console.emit("sandbox stop", True, {"stopped": [str(h) for h in stopped]})
    return EXIT_YES


@app.command()
def shell(
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    cmdline: options.Cmdline = "",
    offline: options.Offline = False,
    directory: options.Directory = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Open a BusyBox shell in this project's sandbox."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.verbs.shell import shell as open_shell
    from kscaffold.project.find import home as project_home

    if json:
        raise UsageError("KS004", "a shell has no JSON", fix="kscaffold sandbox shell")
    where = TargetRequest(kernel=kernel, cmdline=cmdline, offline=offline)
    return open_shell(project_home(directory or Path.cwd()), where, console.progress())
