"""`sandbox status`, `stop` and `shell`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.errors import EXIT_YES, UsageError

app = typer.Typer(help="The throwaway machines that modules are loaded into.", no_args_is_help=True)

All = Annotated[
    bool, typer.Option("--all", "-a", help="Every sandbox of this user, not only this project's.")
]
# It need not be there any more: its sandbox may.
Gone = Annotated[
    Path | None, typer.Option("--directory", "-C", metavar="DIR", help="Act there instead of here.")
]


@app.command()
def status(json: options.Json = False, verbose: options.Verbose = False) -> int:
    """Show the running sandboxes, and the room their snapshots take."""
    # start-up time
    from kscaffold.sandbox.live import registry
    from kscaffold.sandbox.vm import snapshot

    cards, snapshots = registry.all_sandboxes(), snapshot.all_snapshots()
    console.emit(
        "sandbox status",
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
        console.note(f"{len(snapshots)} snapshots take {total / 1e6:.0f} MB in {snapshot.snapshots_dir()}")
    return EXIT_YES


@app.command()
def stop(
    everything: All = False,
    directory: Gone = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """End this project's sandbox."""
    from kscaffold.cli import open_target  # start-up time
    from kscaffold.sandbox.live import registry

    homes: list[Path] = (
        [c.project for c in registry.all_sandboxes()]
        if everything
        else [open_target.home_directory(directory)]
    )
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
    cmdline: options.Cmdline = "",
    offline: options.Offline = False,
    directory: options.Directory = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Open a BusyBox shell in this project's sandbox. Starts one where there is none."""
    from kscaffold.cli import open_target, prewarm  # start-up time
    from kscaffold.packages.busybox import busybox
    from kscaffold.sandbox.live import registry
    from kscaffold.sandbox.live.shell import shell as run_shell
    from kscaffold.targets.sandbox import SandboxTarget

    if json:
        raise UsageError("KS004", "a shell has no JSON", fix="kscaffold sandbox shell")
    home = open_target.home_directory(directory)
    program = busybox(offline=offline, say=console.step)
    card = registry.find_sandbox(home)
    chosen = open_target.choose_kernel(kernel or (card.kernel if card else None), host=False, offline=offline)
    trusted = prewarm.trusted_certificates(chosen, cmdline, None)
    with open_target.open_target(
        home, chosen, host=False, cmdline=cmdline, start=True, trusted=trusted
    ) as opened:
        assert isinstance(opened.target, SandboxTarget)
        opened.target.install_busybox(program.read_bytes())
        run_shell(opened.target.channel, ["/bin/sh", "-i"])
    return EXIT_YES
