"""`test`."""

from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer

Paths = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH]...", help="Tests to run, as pytest takes them.")
]
Kernels = Annotated[
    list[str] | None, typer.Option("--kernel", metavar="R", help="A kernel to test on; repeatable.")
]
Keyword = Annotated[
    str | None, typer.Option("-k", metavar="EXPRESSION", help="Only tests whose names it fits, as pytest -k.")
]
First = Annotated[bool, typer.Option("-x", help="Stop at the first failure.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as XML.")]
Shard = Annotated[
    str | None, typer.Option("--shard", metavar="K/N", help="Run the K-th of N parts of the tests.")
]


def test(
    paths: Paths = None,
    kernel: Kernels = None,
    keyword: Keyword = None,
    first: First = False,
    junit: Junit = None,
    shard: Shard = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Test the modules: by pytest, else the standard examination."""
    from kscaffold.cli.render import test as render  # start-up time
    from kscaffold.testing.run import TestRequest
    from kscaffold.testing.run import test as run_tests

    where = directory or Path.cwd()
    request = TestRequest(
        where,
        tuple(paths or ()),
        tuple(kernel or ()),
        keyword,
        first,
        junit.absolute() if junit else None,
        shard,
        ("-v",) if verbose else (),
    )
    on_line = console.note if json else console.out
    done = run_tests(request, on_line, offline=offline, progress=console.progress())
    return render.tested(done)
