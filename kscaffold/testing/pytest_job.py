"""pytest on one kernel, in a process of its own: what is handed to an executor, and what comes back."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.files.scratch import scratch_directory
from kscaffold.kernel.obtain import obtain
from kscaffold.load.request import NO_INSTRUMENTS, Instruments
from kscaffold.project import trust
from kscaffold.records import dataclass

if TYPE_CHECKING:
    from kscaffold.instrument.coverage import Coverage

Outcome = Literal["passed", "failed", "error", "skipped"]

_TIMEOUT = 24 * 3600.0  # s; each test has deadlines of its own
# pytest's exit statuses that are no result.
INTERRUPTED, INTERNAL, USAGE, NO_TESTS = 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test on one kernel. `modules`: those that it loaded, by the kernel's names. `text`: why it failed;
    `sections`: titles and texts of the evidence, the kernel's log among it. `file`, `line`: the line of
    source that the kernel's first complaint is about, else the test's own; from the project's directory.
    """

    __test__ = False

    test: str
    outcome: Outcome
    seconds: float
    kernel: str
    modules: tuple[str, ...]
    text: str = ""
    file: str = ""
    line: int = 0
    sections: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PytestJob:
    """`kernel`: a release or the beginning of one, None for the default. `paths`: what pytest is given.
    `options`: its other words. `apart`: build in a directory of the kernel's own, not in the checkout.
    `instruments`: what the guests' modules are instrumented with.
    """

    __test__ = False

    directory: Path
    project: Path
    kernel: str | None
    paths: tuple[Path, ...]
    options: tuple[str, ...]
    offline: bool = False
    junit: bool = False
    apart: bool = False
    instruments: Instruments = NO_INSTRUMENTS


@dataclass(frozen=True, slots=True)
class PytestEnded:
    """`status`: pytest's. `lines`: what it printed, where nobody heard that. `junit`: its report, as XML.
    `error`: why it was not started; `kernel` is the word for it then. `coverage`: of all tests, None where
    it was not asked for. `calls`: what each test wrote of the calls after init, as JSON. `arch`: the
    kernel's machine, as `uname -m` says it; empty where there is no kernel.
    """

    kernel: str
    status: int = 0
    lines: tuple[str, ...] = ()
    results: tuple[TestResult, ...] = ()
    junit: bytes = b""
    error: KscaffoldError | None = None
    coverage: "Coverage | None" = None
    calls: tuple[str, ...] = ()
    arch: str = ""


def run_pytest(job: PytestJob, on_line: Callable[[str], None] | None = None) -> PytestEnded:
    """Run a job; `on_line` gets each line that pytest prints. A kernel that can't be had is an `error`."""
    try:
        kernel = obtain(job.kernel, offline=job.offline)
        release = kernel.release
    except KscaffoldError as error:
        return PytestEnded(job.kernel or "the default kernel", error=error)
    lines: list[str] = []
    with scratch_directory() as place:
        argv = _argv(job, release, place)
        # Whoever asked for the tests named the project, or owns it: pytest may read it, too.
        trusted = os.pathsep.join(filter(None, (os.environ.get(trust.VARIABLE), str(job.project))))
        status = process.stream(
            argv,
            on_line or lines.append,
            timeout=_TIMEOUT,
            cwd=job.directory,
            env=process.environment({trust.VARIABLE: trusted}),
        )
        junit = place / "junit.xml"
        coverage = None
        if job.instruments.coverage:
            from kscaffold.testing.instruments import coverage_in  # start-up time: few tests count

            coverage = coverage_in(place / "counts", job.project, kernel)
        return PytestEnded(
            release,
            status,
            tuple(lines),
            tuple(_results(place / "results", release)),
            reader.read_bytes(junit) if junit.exists() else b"",
            coverage=coverage,
            calls=tuple(reader.read_text(file) for file in sorted((place / "counts").glob("*.calls"))),
            arch=kernel.arch,
        )


def _argv(job: PytestJob, release: str, place: Path) -> list[str]:
    """pytest's command line. The plugin is named, for users who switch the search for plugins off."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "kscaffold", "--rootdir", str(job.project)]
    words += ["--kscaffold-kernel", release, "--kscaffold-project", str(job.project)]
    words += ["--kscaffold-results", str(place / "results")]
    if job.apart:
        # The checkout's tests are read by several pytests at once, which would share their cache there.
        words += ["--kscaffold-apart", "-p", "no:cacheprovider"]
    words += ["--junit-xml", str(place / "junit.xml")] if job.junit else []
    if job.instruments:
        names = ",".join(job.instruments.words)
        words += ["--kscaffold-instruments", names, "--kscaffold-counts", str(place / "counts")]
    return [*words, *job.options, *map(str, job.paths)]


def _results(file: Path, kernel: str) -> list[TestResult]:
    try:
        lines = reader.read_text(file).splitlines()
    except FileNotFoundError:
        return []
    return [_result(json.loads(line), kernel) for line in lines]


def _result(line: dict[str, Any], kernel: str) -> TestResult:
    return TestResult(
        line["test"],
        line["outcome"],
        line["seconds"],
        kernel,
        tuple(line["modules"]),
        line["text"],
        os.fspath(line["file"]),
        int(line["line"]),
        tuple((title, text) for title, text in line["sections"]),
    )
