"""`sandbox status|stop|shell`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.errors import EXIT_YES

app = typer.Typer(help="The throwaway machines that modules are loaded into.", no_args_is_help=True)

All = Annotated[
    bool, typer.Option("--all", "-a", help="Every sandbox of this user, not only this project's.")
]


@app.command()
def status(json: options.Json = False, verbose: options.Verbose = False) -> int:
    """Show the running sandboxes, and the room their snapshots take."""
    from kscaffold.sandbox import live, snapshot  # start-up time

    cards, snapshots = live.every(), snapshot.every()
    console.emit(
        "sandbox",
        True,
        {
            "sandboxes": [
                {
                    "id": c.id,
                    "project": str(c.project),
                    "kernel": c.kernel,
                    "cmdline": c.cmdline,
                    "accelerator": c.accelerator,
                    "keeper": c.keeper,
                    "qemu": c.qemu,
                    "seconds": round(time.time() - c.started, 1),
                    "rss": c.rss,
                }
                for c in cards
            ],
            "snapshots": [
                {"key": k, "kernel": r, "bytes": size, "used": used} for k, r, size, used in snapshots
            ],
        },
    )
    for c in cards:
        minutes = (time.time() - c.started) / 60
        extra = f"  {c.cmdline}" if c.cmdline else ""
        console.out(f"{c.project}  {c.kernel}  {c.accelerator}  {minutes:.0f} min  {c.rss >> 20} MB{extra}")
    if not cards:
        console.note("no sandbox is running")
    if snapshots:
        total = sum(size for _, _, size, _ in snapshots)
        console.note(f"{len(snapshots)} snapshots take {total / 1e6:.0f} MB in {snapshot.place()}")
    return EXIT_YES


@app.command()
def stop(
    everything: All = False,
    directory: options.Directory = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """End this project's sandbox."""
    from kscaffold.cli import session  # start-up time
    from kscaffold.sandbox import live

    homes: list[Path] = [c.project for c in live.every()] if everything else [session.home(directory)]
    stopped = [home for home in homes if live.stop(home)]
    for home in stopped:
        console.step("Stopped", str(home))
    if not stopped:
        console.note("no sandbox was running")
    console.emit("sandbox", True, {"stopped": [str(h) for h in stopped]})
    return EXIT_YES
