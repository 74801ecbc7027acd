"""`load`, `unload`, `reload`, `list`, `logs` and `run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console, pace
from kscaffold.cli import options
from kscaffold.errors import EXIT_YES, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kscaffold.cli.page import Listener
    from kscaffold.cli.session import Opened
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.forecast import Outlook
    from kscaffold.load.jobs import Jobs
    from kscaffold.load.report import LoadReport

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[KO] [PARAM=VALUE]...", help="A .ko, and parameters.")
]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Modules; default: this project's.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("-p", "--params", metavar="'A=1 B=2'", help="One more set of parameters and guest."),
]
Repeat = Annotated[
    int, typer.Option("--repeat", metavar="N", min=1, max=10000, help="Each set so many times.")
]
All = Annotated[bool, typer.Option("--all", "-a", help="Every module, not only this project's.")]
Trace = Annotated[bool, typer.Option("--trace", help="Show the stages of the load, with times.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes.")]
Last = Annotated[int | None, typer.Option("-n", "--lines", metavar="N", min=0, help="Only the last N lines.")]


_NOT_ON_HOST = UsageError(
    "KS004",
    "--cert is for a sandbox: which keys this machine's kernel trusts, its firmware decides",
    fix="kscaffold explain KS448",
)


def load(
    words: Words = None,
    kernel: options.KernelName = None,
    module: options.Module = None,
    host: options.Host = False,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    cmdline: options.Cmdline = "",
    cert: options.Cert = None,
    trace: Trace = False,
    html: options.Html = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Load this project's modules, or a .ko, into its sandbox (insmod). Builds first when needed."""
    if host and cert:
        raise _NOT_ON_HOST
    listener = _listener(html)
    trusted: tuple[bytes, ...] = ()
    if not host:
        from kscaffold.cli import ahead  # start-up time

        here = directory or Path.cwd()
        ahead.check(words or (), here)
        found = ahead.chosen(kernel, offline=offline)
        trusted = ahead.trusted(found, cmdline, cert)
        ahead.sandbox(words or (), here, found, cmdline, trusted)
        pace.reached("the sandbox begins to start")
    from kscaffold.cli import session, show  # start-up time: while the guest restores
    from kscaffold.load.forecast import Outlook

    chosen, jobs = _prepare(words, kernel, module, host, (no_build, no_deps), offline, directory)
    if jobs.failed:
        return show.failed_build("load", jobs.failed)
    pace.reached("the modules are found, and built")
    outlook = Outlook(jobs.kos, chosen, console.warn, trusted) if chosen else None
    pace.reached("a prediction is made")
    with session.target(jobs.home, chosen, host=host, cmdline=cmdline, start=True, trusted=trusted) as opened:
        pace.reached("the sandbox answers")

        def tell(report: "LoadReport") -> None:
            show.loaded(report)
            if listener is not None:
                listener.hear(report, opened.target, chosen)

        reports = _load_into(opened, jobs, outlook, timeout, tell)
    if listener is not None:
        listener.write()
    if trace:
        _waterfalls(reports)
    return show.loads("load", reports)


def reload(
    words: Words = None,
    kernel: options.KernelName = None,
    module: options.Module = None,
    host: options.Host = False,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    cmdline: options.Cmdline = "",
    cert: options.Cert = None,
    trace: Trace = False,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Load into a pristine sandbox, in the old one's place. With --host: rmmod, then insmod."""
    if host and cert:
        raise _NOT_ON_HOST
    from kscaffold.cli import ahead, session, show  # start-up time
    from kscaffold.load.forecast import Outlook
    from kscaffold.load.unload import unload as unload_one
    from kscaffold.module.quick import module_name
    from kscaffold.sandbox import limits, live

    chosen, jobs = _prepare(words, kernel, module, host, (no_build, no_deps), offline, directory)
    if jobs.failed:
        return show.failed_build("reload", jobs.failed)
    trusted: tuple[bytes, ...] = ()
    if not host:
        assert chosen is not None
        trusted = ahead.trusted(chosen, cmdline, cert)
        live.stop(jobs.home)
    outlook = Outlook(jobs.kos, chosen, console.warn, trusted) if chosen else None
    with session.target(jobs.home, chosen, host=host, cmdline=cmdline, start=True, trusted=trusted) as opened:
        if host:
            there = {m.name for m in opened.target.modules()}
            for name in [n for ko in reversed(jobs.kos) if (n := module_name(ko)) in there]:
                gone = unload_one(name, opened.target, timeout=limits.seconds("UNLOAD_TIMEOUT"))
                show.unloaded(gone)
                if not gone.ok:
                    return show.unloads("reload", [gone])
        reports = _load_into(opened, jobs, outlook, timeout, show.loaded)
    if trace:
        _waterfalls(reports)
    return show.loads("reload", reports)


def run(
    words: Words = None,
    params: Set = None,
    repeat: Repeat = 1,
    kernel: options.KernelName = None,
    module: options.Module = None,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    watch: options.Watch = None,
    cmdline: options.Cmdline = "",
    cert: options.Cert = None,
    trace: Trace = False,
    html: options.Html = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Build, load and unload in a pristine kernel, with one verdict."""
    from kscaffold.cli import ahead  # start-up time

    here = directory or Path.cwd()
    tries = repeat * len(params or [""])
    if html is not None:
        from kscaffold.cli import page  # start-up time: few want one

        page.check(html, tries)
    with ahead.guest(words or (), here, kernel, cmdline, cert, offline=offline) as begun:
        pace.reached("a guest begins to restore")
        from kscaffold.cli import show  # start-up time: while the guest restores
        from kscaffold.load.jobs import Wish, prepare
        from kscaffold.load.run import Tell
        from kscaffold.load.run import run as run_all

        wish = Wish(tuple(words or ()), here, module, not no_build, not no_deps)
        pace.reached("more of kscaffold is imported")
        jobs = prepare(wish, begun.kernel, console.step, show.build_line)
        pace.reached("the modules are found, and built")
        if jobs.failed:
            return show.failed_build("run", jobs.failed)
        listener = page.RunListener(html, begun.kernel) if html is not None else None
        hear = listener.hear if listener else None
        sets = [f"{jobs.parameters} {one}".strip() for one in (params or [""])]
        results = run_all(
            jobs,
            [one for one in sets for _ in range(repeat)],
            begun.plan,
            ahead=begun.restoring,
            timeout=timeout,
            watch=watch,
            tell=Tell(console.step, console.detail, console.warn, console.verbose, hear),
        )
        if listener:
            listener.write(results)
        if trace:
            _waterfalls([report for loads, _ in results for report in loads])
        return show.runs(results, jobs.seconds)


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
    from kscaffold.cli import session, show  # start-up time
    from kscaffold.load.unload import file_of, left_running, named
    from kscaffold.load.unload import unload as unload_one

    home = session.home(directory)
    beside = sorted(home.glob("*.ko"))
    reports = []
    with session.target(home, None, host=host, cmdline="", start=False) as opened:
        if not opened.is_there:
            console.note("no sandbox runs for this project: nothing is loaded")
        wanted = names or session.loaded_here(home, module, opened)
        for name in wanted:
            files = [Path(name), *(ko for ko in beside if named(ko.name) == named(name))]
            ko = file_of(named(name), files, opened.target)
            reports.append(unload_one(name, opened.target, timeout=timeout, ko=ko))
            show.unloaded(reports[-1])
        watched = left_running(reports, opened.target, watch)
        for before, after in zip(reports, watched, strict=True):
            if after is not before:
                show.unloaded(after)
        reports = watched
    return show.unloads("unload", reports)


def list_modules(
    everything: All = False,
    host: options.Host = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """List the loaded modules of this project (lsmod)."""
    from kscaffold.cli import session, show  # start-up time

    home = session.home(directory)
    with session.target(home, None, host=host, cmdline="", start=False) as opened:
        listed = opened.target.modules() if everything else session.of_user(opened, session.names_here(home))
        return show.listed(listed, opened.kind, opened.is_there)


def logs(
    follow: Follow = False,
    lines: Last = None,
    host: options.Host = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Show the kernel's log, this project's lines marked (dmesg). Answers after a crash, too."""
    from kscaffold.cli import session, show  # start-up time

    console.json_lines = follow
    home = session.home(directory)
    marked = session.names_here(home)
    if follow and host:
        session.follow_host(lambda new: show.log(new, marked))
        return EXIT_YES
    log = session.log(home, host=host)
    if log is None:
        console.note("no sandbox has run for this project yet: kscaffold load starts one")
        if not follow:
            console.emit("logs", True, {"log": []})
        return EXIT_YES
    show.log(log if lines is None else log.last(lines), marked)
    if follow:
        seen = max((r.seq for r in log.records if r.seq is not None), default=-1)
        session.follow(home, lambda new: show.log(new, marked), seen=seen)
    return EXIT_YES


def _waterfalls(reports: "Sequence[LoadReport]") -> None:
    from kscaffold.cli import waterfall  # start-up time: few want them

    for report in reports:
        waterfall.show(report)


def _load_into(
    opened: "Opened",
    jobs: "Jobs",
    outlook: "Outlook | None",
    timeout: float,
    tell: "Callable[[LoadReport], None]",
) -> "list[LoadReport]":
    """Load all that is meant into an opened target; `tell` hears of each."""
    from kscaffold.load.series import load_series  # start-up time: while the guest restores

    spent = {"build": jobs.seconds, "start": opened.seconds}
    return load_series(jobs, opened.target, timeout=timeout, outlook=outlook, seconds=spent, tell=tell)


def _listener(html: Path | None) -> "Listener | None":
    """What makes a page of the loads, where one is asked for."""
    if html is None:
        return None
    from kscaffold.cli.page import Listener  # start-up time: few want a page

    return Listener(html)


def _prepare(
    words: list[str] | None,
    kernel: str | None,
    module: str | None,
    host: bool,
    without: tuple[bool, bool],
    offline: bool,
    directory: Path | None,
) -> "tuple[Kernel | None, Jobs]":
    """The kernel, and what is to be loaded into it, built. No kernel is looked for to insmod a .ko here.

    `without`: no building, no dependencies.
    """
    from kscaffold.cli import session, show  # start-up time
    from kscaffold.load.jobs import Wish, prepare

    wish = Wish(tuple(words or ()), directory or Path.cwd(), module, not without[0], not without[1])
    chosen = None if host and wish.files else session.kernel(kernel, host=host, offline=offline)
    return chosen, prepare(wish, chosen, console.step, show.build_line)
