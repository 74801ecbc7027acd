"""`load`, `unload`, `reload`, `list`, `logs` and `run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console, timing
from kscaffold.cli import options
from kscaffold.errors import EXIT_YES, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kscaffold.cli.open_target import OpenTarget
    from kscaffold.cli.render.html import LoadPage
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.plan import LoadPlan
    from kscaffold.load.prediction import Predictor
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
        from kscaffold.cli import prewarm  # start-up time

        here = directory or Path.cwd()
        prewarm.check_words(words or (), here)
        found = prewarm.chosen_kernel(kernel, offline=offline)
        trusted = prewarm.trusted_certificates(found, cmdline, cert)
        prewarm.prewarm_sandbox(words or (), here, found, cmdline, trusted)
        timing.reached("the sandbox begins to start")
    # start-up time: while the guest restores
    from kscaffold.cli import open_target
    from kscaffold.cli.render import load as render
    from kscaffold.load.prediction import Predictor

    chosen, jobs = _prepare(words, kernel, module, host, (no_build, no_deps), offline, directory)
    if jobs.failed:
        return render.failed_build("load", jobs.failed)
    timing.reached("the modules are found, and built")
    outlook = Predictor(jobs.kos, chosen, console.warn, trusted) if chosen else None
    timing.reached("a prediction is made")
    with open_target.open_target(
        jobs.home, chosen, host=host, cmdline=cmdline, start=True, trusted=trusted
    ) as opened:
        timing.reached("the sandbox answers")

        def tell(report: "LoadReport") -> None:
            render.loaded(report)
            if listener is not None:
                listener.hear(report, opened.target, chosen)

        reports = _load_into(opened, jobs, outlook, timeout, tell)
    if listener is not None:
        listener.write()
    if trace:
        _waterfalls(reports)
    return render.loads("load", reports)


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
    # start-up time
    from kscaffold import timeouts
    from kscaffold.cli import open_target, prewarm
    from kscaffold.cli.render import load as render
    from kscaffold.elf.quick import module_name
    from kscaffold.load.prediction import Predictor
    from kscaffold.load.unload import unload as unload_one
    from kscaffold.sandbox.live import registry

    chosen, jobs = _prepare(words, kernel, module, host, (no_build, no_deps), offline, directory)
    if jobs.failed:
        return render.failed_build("reload", jobs.failed)
    trusted: tuple[bytes, ...] = ()
    if not host:
        assert chosen is not None
        trusted = prewarm.trusted_certificates(chosen, cmdline, cert)
        registry.stop_sandbox(jobs.home)
    outlook = Predictor(jobs.kos, chosen, console.warn, trusted) if chosen else None
    with open_target.open_target(
        jobs.home, chosen, host=host, cmdline=cmdline, start=True, trusted=trusted
    ) as opened:
        if host:
            there = {m.name for m in opened.target.modules()}
            for name in [n for ko in reversed(jobs.kos) if (n := module_name(ko)) in there]:
                gone = unload_one(name, opened.target, timeout=timeouts.seconds("UNLOAD_TIMEOUT"))
                render.unloaded(gone)
                if not gone.ok:
                    return render.unloads("reload", [gone])
        reports = _load_into(opened, jobs, outlook, timeout, render.loaded)
    if trace:
        _waterfalls(reports)
    return render.loads("reload", reports)


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
    from kscaffold.cli import prewarm  # start-up time

    here = directory or Path.cwd()
    tries = repeat * len(params or [""])
    if html is not None:
        from kscaffold.cli.render import html as render_html  # start-up time: few want one

        render_html.check_path(html, tries)
    with prewarm.prewarm_guest(words or (), here, kernel, cmdline, cert, offline=offline) as begun:
        timing.reached("a guest begins to restore")
        from kscaffold.cli.render import load as render  # start-up time: while the guest restores
        from kscaffold.load.plan import LoadRequest, plan_loads
        from kscaffold.load.run import RunListener
        from kscaffold.load.run import run as run_all

        wish = LoadRequest(tuple(words or ()), here, module, not no_build, not no_deps)
        timing.reached("more of kscaffold is imported")
        jobs = plan_loads(wish, begun.kernel, console.step, render.build_line)
        timing.reached("the modules are found, and built")
        if jobs.failed:
            return render.failed_build("run", jobs.failed)
        listener = render_html.RunPage(html, begun.kernel) if html is not None else None
        hear = listener.hear if listener else None
        sets = [f"{jobs.parameters} {one}".strip() for one in (params or [""])]
        results = run_all(
            jobs,
            [one for one in sets for _ in range(repeat)],
            begun.plan,
            ahead=begun.restoring,
            timeout=timeout,
            watch=watch,
            tell=RunListener(console.step, console.detail, console.warn, console.verbose, hear),
        )
        if listener:
            listener.write(results)
        if trace:
            _waterfalls([report for loads, _ in results for report in loads])
        return render.runs(results, jobs.seconds)


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
    from kscaffold.cli import open_target
    from kscaffold.cli.render import load as render
    from kscaffold.load.unload import file_of, module_of_word, watch_after_unload
    from kscaffold.load.unload import unload as unload_one

    home = open_target.home_directory(directory)
    beside = sorted(home.glob("*.ko"))
    reports = []
    with open_target.open_target(home, None, host=host, cmdline="", start=False) as opened:
        if not opened.is_there:
            console.note("no sandbox runs for this project: nothing is loaded")
        wanted = names or open_target.loaded_here(home, module, opened)
        for name in wanted:
            files = [Path(name), *(ko for ko in beside if module_of_word(ko.name) == module_of_word(name))]
            ko = file_of(module_of_word(name), files, opened.target)
            reports.append(unload_one(name, opened.target, timeout=timeout, ko=ko))
            render.unloaded(reports[-1])
        watched = watch_after_unload(reports, opened.target, watch)
        for before, after in zip(reports, watched, strict=True):
            if after is not before:
                render.unloaded(after)
        reports = watched
    return render.unloads("unload", reports)


def list_modules(
    everything: All = False,
    host: options.Host = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """List the loaded modules of this project (lsmod)."""
    # start-up time
    from kscaffold.cli import open_target
    from kscaffold.cli.render import load as render

    home = open_target.home_directory(directory)
    with open_target.open_target(home, None, host=host, cmdline="", start=False) as opened:
        listed = (
            opened.target.modules()
            if everything
            else open_target.own_modules(opened, open_target.names_here(home))
        )
        return render.listed(listed, opened.kind, opened.is_there)


def logs(
    follow: Follow = False,
    lines: Last = None,
    host: options.Host = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Show the kernel's log, this project's lines marked (dmesg). Answers after a crash, too."""
    # start-up time
    from kscaffold.cli import open_target
    from kscaffold.cli.render import load as render

    console.json_lines = follow
    home = open_target.home_directory(directory)
    marked = open_target.names_here(home)
    if follow and host:
        open_target.follow_host_log(lambda new: render.log(new, marked))
        return EXIT_YES
    log = open_target.read_log(home, host=host)
    if log is None:
        console.note("no sandbox has run for this project yet: kscaffold load starts one")
        if not follow:
            console.emit("logs", True, {"log": []})
        return EXIT_YES
    render.log(log if lines is None else log.last(lines), marked)
    if follow:
        seen = max((r.seq for r in log.records if r.seq is not None), default=-1)
        open_target.follow_log(home, lambda new: render.log(new, marked), seen=seen)
    return EXIT_YES


def _waterfalls(reports: "Sequence[LoadReport]") -> None:
    from kscaffold.cli.render import waterfall  # start-up time: few want them

    for report in reports:
        waterfall.show(report)


def _load_into(
    opened: "OpenTarget",
    jobs: "LoadPlan",
    outlook: "Predictor | None",
    timeout: float,
    tell: "Callable[[LoadReport], None]",
) -> "list[LoadReport]":
    """Load all that is meant into an opened target; `tell` hears of each."""
    from kscaffold.load.series import load_series  # start-up time: while the guest restores

    spent = {"build": jobs.seconds, "start": opened.seconds}
    return load_series(jobs, opened.target, timeout=timeout, outlook=outlook, seconds=spent, tell=tell)


def _listener(html: Path | None) -> "LoadPage | None":
    """What makes a page of the loads, where one is asked for."""
    if html is None:
        return None
    from kscaffold.cli.render.html import LoadPage  # start-up time: few want a page

    return LoadPage(html)


def _prepare(
    words: list[str] | None,
    kernel: str | None,
    module: str | None,
    host: bool,
    without: tuple[bool, bool],
    offline: bool,
    directory: Path | None,
) -> "tuple[Kernel | None, LoadPlan]":
    """The kernel, and what is to be loaded into it, built. No kernel is looked for to insmod a .ko here.

    `without`: no building, no dependencies.
    """
    # start-up time
    from kscaffold.cli import open_target
    from kscaffold.cli.render import load as render
    from kscaffold.load.plan import LoadRequest, plan_loads

    wish = LoadRequest(tuple(words or ()), directory or Path.cwd(), module, not without[0], not without[1])
    chosen = None if host and wish.files else open_target.choose_kernel(kernel, host=host, offline=offline)
    return chosen, plan_loads(wish, chosen, console.step, render.build_line)
