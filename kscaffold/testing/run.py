"""`kscaffold test`: pytest over a project's tests, or over the standard examination, on one kernel or
several.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from kscaffold import process
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.files.scratch import scratch_directory
from kscaffold.kernel.choose import choose
from kscaffold.progress import SILENT, Progress
from kscaffold.project.find import find_project
from kscaffold.records import dataclass, field

Outcome = Literal["passed", "failed", "error", "skipped"]

_TIMEOUT = 24 * 3600.0  # s; each test has deadlines of its own
_EXAMINATION = Path(__file__).with_name("examination.py")
# pytest's exit statuses that are no result.
_INTERRUPTED, _INTERNAL, _USAGE, _NO_TESTS = 2, 3, 4, 5
# The worst of several outcomes is the one that is told.
_WORST: tuple[Outcome, ...] = ("error", "failed", "passed", "skipped")


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test on one kernel. `modules`: those that it loaded, by the kernel's names. `text`: why
    it failed.
    """

    __test__ = False

    test: str
    outcome: Outcome
    seconds: float
    kernel: str
    modules: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a run of tests gave. `examined`: the project has no tests, so it was the standard examination."""

    __test__ = False

    directory: Path
    kernels: tuple[str, ...]
    results: tuple[TestResult, ...]
    examined: bool
    seconds: float

    @property
    def ok(self) -> bool:
        """Each test passed, or was skipped, and one at least passed."""
        outcomes = {result.outcome for result in self.results}
        return "passed" in outcomes and not outcomes & {"failed", "error"}

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
    `keyword`, `first` as pytest's -k and -x. `shard`: `K/N`.
    """

    __test__ = False

    directory: Path
    paths: tuple[Path, ...] = ()
    kernels: tuple[str, ...] = ()
    keyword: str | None = None
    first: bool = False
    junit: Path | None = None
    shard: str | None = None
    more: tuple[str, ...] = field(default=())


def test(
    request: TestRequest,
    on_line: Callable[[str], None],
    *,
    offline: bool = False,
    progress: Progress = SILENT,
) -> TestRun:
    """Run tests with pytest in a process of its own; `on_line` gets each line that it prints.

    Raises KscaffoldError where there is no project or kernel, and UsageError KS652 where no test is meant.
    """
    began = time.monotonic()
    project = find_project(request.directory)
    names = request.kernels or (None,)
    kernels = tuple(choose(name, offline=offline, progress=progress).release for name in names)
    paths, examined = _paths(request, project)
    with scratch_directory() as place:
        results = place / "results"
        status = process.stream(
            _argv(request, project, kernels, paths, results), on_line, timeout=_TIMEOUT, cwd=request.directory
        )
        found = tuple(_results(results, kernels))
    if status == _INTERRUPTED and not found:
        raise KeyboardInterrupt
    if status == _NO_TESTS:
        raise UsageError("KS652", "no test was meant", fix="kscaffold test")
    if status in (_INTERNAL, _USAGE) or (status and not found):
        raise KscaffoldError("KS653", f"pytest ended with {status}", fix="look at what it printed above")
    return TestRun(project, kernels, found, examined, time.monotonic() - began)


test.__test__ = False  # type: ignore[attr-defined]


def _paths(request: TestRequest, project: Path) -> tuple[tuple[Path, ...], bool]:
    """What pytest is given, and whether that is the standard examination."""
    for path in request.paths:
        if not Path(str(path).partition("::")[0]).exists():
            raise UsageError("KS651", f"there is no {path}", fix="ls tests")
    if request.paths:
        return request.paths, False
    tests = project / "tests"
    if tests.is_dir() and any((*tests.rglob("test_*.py"), *tests.rglob("*_test.py"))):
        return (tests,), False
    return (_EXAMINATION,), True


def _argv(
    request: TestRequest,
    project: Path,
    kernels: Sequence[str],
    paths: Sequence[Path],
    results: Path,
) -> list[str]:
    """pytest's command line. The plugin is named, for users who switch the search for plugins off."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "kscaffold", "--rootdir", str(project)]
    for release in kernels:
        words += ["--kscaffold-kernel", release]
    words += ["--kscaffold-project", str(project), "--kscaffold-results", str(results)]
    options = {
        "-k": request.keyword,
        "--junit-xml": request.junit,
        "--kscaffold-shard": request.shard,
    }
    for option, value in options.items():
        words += [option, str(value)] if value is not None else []
    words += ["-x"] if request.first else []
    return [*words, *request.more, *map(str, paths)]


def _results(file: Path, kernels: Sequence[str]) -> list[TestResult]:
    try:
        lines = reader.read_text(file).splitlines()
    except FileNotFoundError:
        return []
    return [_result(json.loads(line), kernels) for line in lines]


def _result(line: dict[str, Any], kernels: Sequence[str]) -> TestResult:
    kernel = line["kernel"] or next((k for k in kernels if k in line["test"]), kernels[0])
    return TestResult(
        line["test"], line["outcome"], line["seconds"], kernel, tuple(line["modules"]), line["text"]
    )
