"""`logs`."""

from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.errors import EXIT_YES

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes.")]
Last = Annotated[int | None, typer.Option("-n", "--lines", metavar="N", min=0, help="Only the last N lines.")]
Previous = Annotated[bool, typer.Option("--previous", help="That of the sandbox before, which crashed.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Mark lines of these modules or .ko; or of a project's."),
]


def logs(
    names: Names = None,
    follow: Follow = False,
    lines: Last = None,
    previous: Previous = False,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    host: options.Host = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Show the kernel's log, this project's lines marked (dmesg). Answers after a crash, too."""
    kernel = options.spec_of(kernel, arch)
    # start-up time
    from kscaffold.cli.render import load as render
    from kscaffold.load import kernel_log, live_copies, live_crash
    from kscaffold.load.loaded_modules import modules_meant
    from kscaffold.load.open_target import check_runs
    from kscaffold.load.plan import module_names_of

    console.json_lines = follow
    at, named = modules_meant(names or (), directory or Path.cwd())
    progress = console.progress()
    check_runs(at, kernel, host=host)
    marked = named or module_names_of(at)
    if follow and host:
        kernel_log.follow_host_log(lambda new: render.log(new, marked), progress)
        return EXIT_YES

    def show(new: kernel_log.KernelLog) -> None:
        # What an instrument's helper wrote is told in our own words.
        live_copies.tell_news_in(at, new.records, progress, previous=previous)
        render.log(new if verbose else new.without_instruments(), marked)

    log = kernel_log.read_log(at, host=host, previous=previous, progress=progress)

    if log is None and previous:
        console.note("no sandbox was there before")
    elif log is None:
        console.note("no sandbox has run for this project yet: kscaffold load starts one")
    if log is None:
        if not follow:
            console.emit("logs", True, {"log": []})
        return EXIT_YES
    live_copies.tell_news_in(at, log.records, progress, previous=previous)
    if not host:
        live_crash.tell_in(at, log, progress, previous=previous)
    log = log if verbose else log.without_instruments()
    render.log(log if lines is None else log.last(lines), marked)
    if follow:
        seen = max((r.seq for r in log.records if r.seq is not None), default=-1)
        kernel_log.follow_log(at, show, seen=seen, progress=progress)
    return EXIT_YES
