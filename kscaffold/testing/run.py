"""`kscaffold test`: pytest over a project's tests, or over the standard examination, on one kernel or
several.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.files.atomic import write_whole
from kscaffold.kernel.obtain import obtain
from kscaffold.load.executor import do_jobs
from kscaffold.load.request import NO_INSTRUMENTS, Instruments
from kscaffold.progress import SILENT, Progress, Work
from kscaffold.project.ask import kbuild_file, read_project
from kscaffold.project.find import find_project
from kscaffold.project.trust import require_trusted, require_trusted_settings
from kscaffold.records import dataclass, field
from kscaffold.testing.junit import joined
from kscaffold.testing.pytest_job import (
    INTERNAL,
    INTERRUPTED,
    NO_TESTS,
    USAGE,
    Outcome,
    PytestEnded,
    PytestJob,
    TestResult,
    run_pytest,
)
from kscaffold.testing.shard import numbers
from kscaffold.testing.verdict import EXAMINATION

if TYPE_CHECKING:
    from kscaffold.instrument.coverage import Coverage

# The worst of several outcomes is the one that counts.
_WORST: tuple[Outcome, ...] = ("error", "failed", "passed", "skipped")


@dataclass(frozen=True, slots=True)
class TestRun:
    """The result of a run of tests. `examined`: the project has no tests, so the standard examination ran.
    `no_answer`: why nothing could be tested on a kernel, by its name. `part`: which part of the tests ran,
    `K/N`. `coverage`: of all tests on all kernels, None where it was not asked for. `arches`: each
    kernel's machine, as `uname -m` says it, by the release.
    """

    __test__ = False

    directory: Path
    kernels: tuple[str, ...]
    results: tuple[TestResult, ...]
    examined: bool
    seconds: float
    no_answer: "dict[str, KscaffoldError]" = field(default_factory=dict)
    part: str | None = None
    coverage: "Coverage | None" = None
    arches: "dict[str, str]" = field(default_factory=dict)

    def kernel_name(self, release: str) -> str:
        """One of `kernels`, as people and --kernel name it."""
        return table.kernel_name(release, self.arches.get(release, ""))

    @property
    def ok(self) -> bool:
        """Whether each test passed or was skipped, and one at least passed; a part may have no test."""
        outcomes = {result.outcome for result in self.results}
        some = "passed" in outcomes or (self.part is not None and not outcomes)
        return some and not self.no_answer and not outcomes & {"failed", "error"}

    def table(self) -> dict[str, dict[str, Outcome]]:
        """The outcome by module and kernel: the worst of its tests. What no module was loaded for has the
        name of the test's file.
        """
        cells: dict[str, dict[str, Outcome]] = {}
        for result in self.results:
            rows = result.modules or (Path(result.test.partition("::")[0]).stem,)
            for row in rows if not self.examined or result.modules else ("(build)",):
                before = cells.setdefault(row, {}).get(result.kernel, "skipped")
                cells[row][result.kernel] = min(before, result.outcome, key=_WORST.index)
        return cells


@dataclass(frozen=True, slots=True)
class TestRequest:
    """Which tests to run, and how. `paths`: files or directories of tests; none: the project's tests/, or the
    standard examination where there is none. `kernels`: releases or beginnings of one; none: the default.
    `keyword`, `first` as pytest's -k and -x. `shard`: `K/N`. `workers`: of pytest-xdist, for each kernel.
    `more`: other words for pytest. `instruments`: load copies that look for bugs.
    """

    __test__ = False

    directory: Path
    paths: tuple[Path, ...] = ()
    kernels: tuple[str, ...] = ()
    keyword: str | None = None
    first: bool = False
    junit: Path | None = None
    shard: str | None = None
    workers: int | None = None
    more: tuple[str, ...] = field(default=())
    instruments: Instruments = NO_INSTRUMENTS


def test(
    request: TestRequest,
    on_line: Callable[[str], None],
    *,
    executor: Executor | None = None,
    offline: bool = False,
    progress: Progress = SILENT,
) -> TestRun:
    """Run tests with pytest in a process of its own for each kernel; `on_line` gets each line that it prints.

    `executor` gets a job for each kernel; None: threads, and no job where there is one kernel. Raises
    KscaffoldError where there is no project or kernel, UsageError KS652 where no test is meant, and KS004 for
    a shard that is none.
    """
    began = time.monotonic()
    _require_shard(request.shard)
    junit = reader.replaceable(request.junit) if request.junit else None
    project = find_project(request.directory)
    require_trusted(project, kbuild_file(project))
    paths, examined = _paths(request, project)
    _require_settings(paths, project)
    if examined:
        read_project(project, None)  # what can't be read is one error, and not one of each test
    names = tuple(dict.fromkeys(request.kernels)) or (None,)
    jobs = [
        PytestJob(
            request.directory.absolute(),
            project,
            name,
            tuple(path.absolute() for path in paths),
            _options(request),
            offline,
            request.junit is not None,
            apart=len(names) > 1,
            instruments=request.instruments,
        )
        for name in names
    ]
    if len(jobs) == 1 and executor is None:
        # Fetched here, where somebody hears of it, and an error is raised.
        obtain(names[0], offline=offline, progress=progress)
        ended = [run_pytest(jobs[0], on_line)]
    else:
        ended = _several(jobs, on_line, executor, progress, stop=request.first)
    if junit is not None:
        write_whole(junit, joined([one.junit for one in ended if one.junit]))
    _refuse_nothing(ended, request)
    kernels = tuple(dict.fromkeys(one.kernel for one in ended))
    results = tuple(result for one in ended for result in one.results)
    failed = {one.kernel: one.error for one in ended if one.error}
    seconds = time.monotonic() - began
    arches = {one.kernel: one.arch for one in ended if one.arch}
    return TestRun(
        project, kernels, results, examined, seconds, failed, request.shard, _coverage(ended), arches
    )


test.__test__ = False  # type: ignore[attr-defined]


def _coverage(ended: list[PytestEnded]) -> "Coverage | None":
    counted = [one.coverage for one in ended if one.coverage is not None]
    if not counted:
        return None
    from kscaffold.instrument.coverage import joined as joined_coverage  # start-up time: few tests count

    return joined_coverage(counted)


def _several(
    jobs: list[PytestJob],
    on_line: Callable[[str], None],
    executor: Executor | None,
    progress: Progress,
    *,
    stop: bool,
) -> list[PytestEnded]:
    """The jobs side by side, what each printed in one piece; with `stop` none begins after a failure."""

    def fetch(job: PytestJob) -> None:
        try:
            obtain(job.kernel, offline=job.offline, progress=progress)
        except KscaffoldError:
            return  # the job says so

    ended: dict[PytestJob, PytestEnded] = {}
    with progress.work(Work("Testing", f"on {len(jobs)} kernels", lambda: len(ended), len(jobs), "kernels")):
        for job, one in do_jobs(run_pytest, jobs, executor, prepare=fetch):
            ended[job] = one
            on_line(f"== {table.kernel_name(one.kernel, one.arch)} ==")
            for line in one.lines:
                on_line(line)
            if one.error:
                on_line(f"{one.error.what}: {one.error.fix or one.error.cause or one.error.code}")
            if stop and (one.status or one.error):
                break
    return [ended[job] for job in jobs if job in ended]


def _refuse_nothing(ended: list[PytestEnded], request: TestRequest) -> None:
    """Raise where pytest has no result to tell of."""
    for one in ended:
        if one.error:
            if len(ended) == 1:
                raise one.error
            continue
        if one.status == INTERRUPTED and not one.results:
            raise KeyboardInterrupt
        if one.status == NO_TESTS and request.shard is None:
            raise UsageError("KS652", "no test was meant", fix="kscaffold test")
        if one.status in (INTERNAL, USAGE) or (one.status not in (0, NO_TESTS) and not one.results):
            fix = "look at what it printed above"
            raise KscaffoldError("KS653", f"pytest ended with {one.status}", fix=fix)


def _require_shard(shard: str | None) -> None:
    try:
        numbers(shard or "1/1")
    except ValueError as error:
        raise UsageError("KS004", str(error), fix="--shard 1/2, and --shard 2/2 for the rest") from None


def _paths(request: TestRequest, project: Path) -> tuple[tuple[Path, ...], bool]:
    """The paths that pytest gets, and whether that is the standard examination."""
    for path in request.paths:
        if not (request.directory / str(path).partition("::")[0]).exists():
            raise UsageError("KS651", f"there is no {path}", fix="ls tests")
    if request.paths:
        for path in request.paths:
            _require_plain(request.directory / str(path).partition("::")[0])
        return tuple(request.directory / path for path in request.paths), False
    tests = project / "tests"
    if tests.is_dir() and any((*tests.rglob("test_*.py"), *tests.rglob("*_test.py"))):
        _require_plain(tests)
        return (tests,), False
    return (EXAMINATION,), True


# What pytest looks for in each directory from the tests up to the root; below them it runs each conftest.py.
_SETTINGS = (
    *("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"),
    *("pyproject.toml", "tox.ini", "setup.cfg"),
)


def _require_settings(paths: Sequence[Path], project: Path) -> None:
    """Refuse what pytest would read above the tests and run where another user may have written it, or where
    it has no end. Raises UsageError KS095, ForeignFileError.
    """
    read: set[Path] = set()
    for path in paths:
        is_set = False
        for place in reversed(path.resolve().parents):
            read |= (found := {place / name for name in _SETTINGS if (place / name).is_file()})
            is_set = is_set or bool(found)
            if (conftest := place / "conftest.py").is_file() and (is_set or place.is_relative_to(project)):
                read.add(conftest)
    for file in sorted(read):
        if not file.is_relative_to(project):
            require_trusted_settings(file)
        reader.require_plain(file, reader.MOST_TEXT)


def _require_plain(tests: Path) -> None:
    """Refuse what pytest would read for ever, or pass over without a word. Raises ForeignFileError."""
    for file in tests.rglob("*.py") if tests.is_dir() else (tests,):
        if not file.is_dir():
            reader.require_plain(file, reader.MOST_TEXT)


def _options(request: TestRequest) -> tuple[str, ...]:
    options = {"-k": request.keyword, "--kscaffold-shard": request.shard, "-n": request.workers}
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    return (*words, *(["-x"] if request.first else []), *request.more)
