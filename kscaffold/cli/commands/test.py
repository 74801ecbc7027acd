"""`test`."""

import contextlib
from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer

Paths = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH]...", help="Tests, as pytest takes them; or projects.")
]
Kernels = Annotated[
    list[str] | None, typer.Option("--kernel", metavar="[A:]R", help="A kernel to test on; repeatable.")
]
Arches = Annotated[
    list[str] | None,
    typer.Option("--arch", metavar="A", help="Kernels of this architecture; repeatable."),
]
Keyword = Annotated[
    str | None, typer.Option("-k", metavar="EXPRESSION", help="Only tests whose names it fits, as pytest -k.")
]
First = Annotated[bool, typer.Option("-x", help="Stop at the first failure.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as XML.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the results as a page.")]
Shard = Annotated[
    str | None, typer.Option("--shard", metavar="K/N", help="Run the K-th of N parts of the tests.")
]
Workers = Annotated[
    int | None,
    typer.Option("-n", metavar="N", min=0, help="Workers of pytest-xdist for the tests of each kernel."),
]
Executor = Annotated[
    str | None,
    typer.Option("--executor", metavar="E", help="Where each kernel's job runs: dask, or MODULE:NAME."),
]
Coverage = Annotated[bool, typer.Option("--coverage", help="Count which lines and functions ran.")]
Lcov = Annotated[
    Path | None, typer.Option("--lcov", metavar="FILE", help="Write the coverage as LCOV's text.")
]


def test(
    paths: Paths = None,
    kernel: Kernels = None,
    arch: Arches = None,
    keyword: Keyword = None,
    first: First = False,
    junit: Junit = None,
    html: Html = None,
    shard: Shard = None,
    workers: Workers = None,
    executor: Executor = None,
    sanitize: options.Sanitize = False,
    coverage: Coverage = False,
    lcov: Lcov = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Test the modules: by pytest, else the standard examination."""
    options.output(lcov)
    from kscaffold.cli.render import test as render  # start-up time
    from kscaffold.load.request import Instruments
    from kscaffold.records import replace
    from kscaffold.testing.classroom import are_projects, test_projects
    from kscaffold.testing.executor import open_executor
    from kscaffold.testing.run import TestRequest
    from kscaffold.testing.run import test as run_tests

    request = TestRequest(
        directory or Path.cwd(),
        tuple(paths or ()),
        _specs(kernel or [], arch or []),
        keyword,
        first,
        junit.absolute() if junit else None,
        shard,
        workers,
        ("-v",) if verbose else (),
        Instruments.of(sanitize=sanitize, coverage=coverage or lcov is not None),
    )
    there = [request.directory / path for path in request.paths]
    if are_projects(there):
        every = test_projects(
            replace(request, paths=tuple(there)),
            lambda project, line: console.detail(f"{project.name}: {line}"),
            offline=offline,
            progress=console.progress(),
        )
        return render.tested_projects(every)
    page = render.Page(html) if html else None
    on_line = console.note if json else console.out
    with open_executor(executor) if executor else contextlib.nullcontext() as opened:
        done = run_tests(request, on_line, executor=opened, offline=offline, progress=console.progress())
    if lcov is not None and done.coverage:
        from kscaffold.cli.render.coverage import write_lcov  # start-up time: few want one

        write_lcov(done.coverage, lcov)
    return render.tested(done, page)


def _specs(kernels: list[str], arches: list[str]) -> tuple[str, ...]:
    """The names of the kernels that both options give: each kernel of each architecture."""
    if not arches:
        return tuple(kernels)
    wanted: list[str | None] = [*kernels] or [None]
    found = [options.spec_of(kernel, arch) for arch in arches for kernel in wanted]
    return tuple(spec for spec in found if spec)
