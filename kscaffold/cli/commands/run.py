"""`run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.records import replace

if TYPE_CHECKING:
    from kscaffold.cli.render.html import RunPage
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.request import LoadRequest, TargetRequest
    from kscaffold.load.tries import TryListener
    from kscaffold.load.verbs.run import Run

Set = Annotated[
    list[str] | None,
    typer.Option("-p", "--params", metavar="'A=1 B=2'", help="One more set of parameters and guest."),
]
Repeat = Annotated[
    int, typer.Option("--repeat", metavar="N", min=1, max=10000, help="Each set so many times.")
]

Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="KS###", help="Accept this kind of complaint (repeatable)."),
]
Faults = Annotated[
    str,
    typer.Option(
        "--faults",
        metavar="[init|all]",
        help="Let each call of init that can fail, fail once; or those after it, too.",
    ),
]
Coverage = Annotated[bool, typer.Option("--coverage", help="Count which lines and functions ran.")]
Lcov = Annotated[
    Path | None, typer.Option("--lcov", metavar="FILE", help="Write the coverage as LCOV's text.")
]
AsUser = Annotated[
    bool, typer.Option("--as-user", help="Load as an ordinary user of the guest: a real EPERM.")
]


def run(
    words: options.LoadWords = None,
    params: Set = None,
    repeat: Repeat = 1,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    module: options.Module = None,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    watch: options.Watch = None,
    allow: Allow = None,
    sanitize: options.Sanitize = False,
    faults: Faults = "",
    coverage: Coverage = False,
    lcov: Lcov = None,
    as_user: AsUser = False,
    cmdline: options.Cmdline = "",
    device: options.Devices = None,
    cert: options.Cert = None,
    firmware: options.Firmware = None,
    trace: options.Trace = False,
    html: options.Html = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Build, load and unload in a pristine kernel, with one verdict."""
    kernel = options.spec_of(kernel, arch)
    options.output(lcov)
    from kscaffold.load.request import Instruments, LoadRequest, TargetRequest  # start-up time
    from kscaffold.load.verbs.run import run as run_modules

    where = TargetRequest(False, kernel, cmdline, cert, offline, devices=tuple(device or ()))
    request = LoadRequest.from_words(
        words or (), directory or Path.cwd(), module, build=not no_build, dependencies=not no_deps
    )
    accepted, files = tuple(allow or ()), tuple(firmware or ())
    asked = Instruments.of(sanitize=sanitize, faults=faults, coverage=coverage or lcov is not None)
    request = replace(
        request, allow=accepted, instruments=asked, as_user=as_user, firmware=files, repeat=repeat
    )
    sets = params or [""]
    page: RunPage | None = None
    if html is not None:
        from kscaffold.cli.render import html as render_html  # start-up time: few want one

        page = render_html.RunPage(html, len(sets) * repeat)

    def listen(chosen: "Kernel") -> "TryListener | None":
        from kscaffold.cli.render import load  # noqa: F401 - start-up time: while the guest restores

        return page.listen(chosen) if page else None

    done = run_modules(
        request, where, sets, timeout=timeout, watch=watch, progress=console.progress(), listen=listen
    )
    return _answer(_with_later_calls(done, request, where), page, lcov, trace)


def _with_later_calls(done: "Run", request: "LoadRequest", where: "TargetRequest") -> "Run":
    if request.instruments.faults != "all":
        return done
    from kscaffold.testing.faults import with_later_calls  # start-up time: few ask for all

    return with_later_calls(done, request, where, console.progress())


def _answer(done: "Run", page: "RunPage | None", lcov: Path | None, trace: bool) -> int:
    """The pages that were asked for, then the answer; the exit status."""
    from kscaffold.cli.render import load as render  # start-up time: imported by now

    if page is not None and not done.failed_build:
        from kscaffold.cli.render.html_sections import sections_of  # start-up time: few want a page

        page.write(done.tries, sections_of(done))
    if lcov is not None and done.coverage:
        from kscaffold.cli.render import coverage as render_coverage  # start-up time: few want one

        render_coverage.write_lcov(done.coverage, lcov)
    return render.runs(done, trace)
