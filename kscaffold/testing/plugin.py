"""The pytest plugin: fixtures `kernel`, `modules` and `guest`, and what a test with a guest is judged by.

pytest loads this file wherever kscaffold is installed, so it imports little.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.sandbox import Sandbox
    from kscaffold.testing.guest import Guest

_OPTION = "--kscaffold-kernel"
_GUESTS = pytest.StashKey[list["Guest"]]()
_FAILED_BUILDS = pytest.StashKey[dict[tuple[Path, str], str]]()
_CASE = "kscaffold.case"
# Longer logs are cut in the middle.
_MOST_LINES = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options, in a group of their own."""
    group = parser.getgroup("kscaffold", "kernel modules")
    group.addoption(
        _OPTION,
        action="append",
        metavar="R",
        help="run each test that has a kernel on this one: a release, or the beginning of one; repeatable",
    )
    group.addoption(
        "--kscaffold-project",
        metavar="DIR",
        help="the project whose modules are tested; default: the one around each test",
    )
    group.addoption(
        "--kscaffold-instruments", metavar="I", help="load copies that look for bugs: sanitize, coverage"
    )
    group.addoption("--kscaffold-fail", metavar="N", type=int, default=0, help="this call after init fails")
    group.addoption("--kscaffold-counts", metavar="DIR", help="write the counters of lines there")
    group.addoption("--kscaffold-results", metavar="FILE", help="write each test's result as a line of JSON")
    group.addoption(
        "--kscaffold-apart",
        action="store_true",
        help="build in a directory of the kernel's own, as with several kernels, not in the project's",
    )
    group.addoption(
        "--kscaffold-second-runs",
        metavar="N",
        type=int,
        default=5,
        help="run the first N tests that fail again, with the sanitizer and a trace, where the kernel named"
        " no line; default: 5",
    )
    group.addoption("--kscaffold-second-run", metavar="FILE", help="write what is seen of the test there")
    group.addoption("--kscaffold-shard", metavar="K/N", help="run the K-th of N parts of the tests")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and listen for results where they are asked for."""
    config.addinivalue_line(
        "markers",
        "complaint(which): the kernel is to complain: a kind (warn, oops), or a regular expression that is in"
        " its words; the test fails where it does not",
    )
    config.addinivalue_line(
        "markers", "device(word): the test's guest has this device on its PCI bus, as QEMU's -device takes it"
    )
    if config.getoption("--kscaffold-results") or config.getoption("--kscaffold-second-run"):
        from kscaffold import termination  # start-up time: pytest runs without us, too

        # Started by us, in a process group of its own, as what the tests start is.
        termination.heed()
    if hasattr(config, "workerinput"):
        return  # of pytest-xdist: the first process hears of all reports
    config.pluginmanager.register(_CaseNames(), "kscaffold-cases")
    results = config.getoption("--kscaffold-results")
    if results:
        from kscaffold.testing.results import Results  # start-up time: pytest runs without us, too

        config.pluginmanager.register(Results(Path(results)), "kscaffold-results")


class _CaseNames:
    """Gives reports of a kernel's own cases their names: a worker may send reports of its tests only."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Put the case behind the test, within its brackets: pytest 9.2 takes all that follows the first one
        for a test's parameters.
        """
        case = str(dict(report.user_properties).get(_CASE, ""))
        if case and not report.nodeid.removesuffix("]").endswith(f"::{case}"):
            file, line, test = report.location
            report.nodeid, report.location = _behind(report.nodeid, case), (file, line, _behind(test, case))


def _behind(test: str, case: str) -> str:
    return f"{test.removesuffix(']')}::{case}{']' if test.endswith(']') else ''}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that has a kernel runs on each kernel that was named."""
    names: list[str] = metafunc.config.getoption(_OPTION) or []
    if names and "_kscaffold_kernel" in metafunc.fixturenames:
        metafunc.parametrize("_kscaffold_kernel", names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the shard that was asked for."""
    shard = config.getoption("--kscaffold-shard")
    if not shard:
        return
    from kscaffold.testing.shard import split  # start-up time: pytest runs without us, too

    kept, left = split(items, shard)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.fixture(scope="session")
def _kscaffold_kernel(request: pytest.FixtureRequest) -> str | None:
    """The release that --kscaffold-kernel named, None for the default kernel."""
    return getattr(request, "param", None)


@pytest.fixture(scope="session")
def kernel(_kscaffold_kernel: str | None) -> "Kernel":
    """The kernel that is built for and booted: the default one, or each of --kscaffold-kernel."""
    from kscaffold.kernel.choose import choose  # start-up time: pytest runs without us, too

    return choose(_kscaffold_kernel, offline=False)


@pytest.fixture
def modules(request: pytest.FixtureRequest, kernel: "Kernel") -> dict[str, Path]:
    """The .ko files of the project around the test, built for the kernel, by the kernel's name of each
    module. Empty where there is no project. A build that fails fails the test, with what the compiler said.
    """
    # start-up time: pytest runs without us, too
    from kscaffold.testing.project import build_modules, project_of

    config = request.config
    project = project_of(config.getoption("--kscaffold-project") or request.path.parent)
    if project is None:
        return {}
    # Tests on several kernels take turns, or run at once with pytest-xdist.
    apart = config.getoption("--kscaffold-apart") or len(config.getoption(_OPTION) or ()) > 1
    return build_modules(project, kernel, config.stash.setdefault(_FAILED_BUILDS, {}), apart=apart)


@pytest.fixture
def new_guest(
    request: pytest.FixtureRequest, kernel: "Kernel", modules: dict[str, Path]
) -> Iterator[Callable[..., "Guest"]]:
    """A function that gives one more pristine guest; `cmdline`: words for its kernel;
    `devices`: further devices on its PCI bus, as QEMU's -device takes them. All end with the test.
    """
    import contextlib  # start-up time: pytest runs without us, too

    from kscaffold.testing.guest import Guest
    from kscaffold.testing.instruments import note_calls, sandbox_of
    from kscaffold.testing.second_run import note_second_run

    guests = request.node.stash.setdefault(_GUESTS, [])
    sandboxes: list[Sandbox] = []
    with contextlib.ExitStack() as stack:

        def start(cmdline: str = "", devices: Sequence[str] = ()) -> Guest:
            sandbox = stack.enter_context(sandbox_of(request.config, kernel, cmdline, devices))
            sandboxes.append(sandbox)
            guest = Guest(sandbox, modules, request.path.parent, devices)
            guests.append(guest)
            return guest

        yield start
        note_calls(request, guests, sandboxes)
        note_second_run(request, guests, sandboxes)


@pytest.fixture
def guest(request: pytest.FixtureRequest, new_guest: Callable[..., "Guest"]) -> "Guest":
    """A pristine kernel for this test, restored from a snapshot, in a machine with the devices that its
    markers name.
    """
    marks = request.node.iter_markers("device")
    return new_guest(devices=[str(word) for mark in marks for word in mark.args])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose kernel complained, unless the marker says which complaint is wanted."""
    result = yield
    guests = item.stash.get(_GUESTS, None)
    if guests:
        from kscaffold.testing.verdict import judge  # start-up time: pytest runs without us, too

        problem = judge(guests, _wanted(item))
        if problem:
            pytest.fail(problem, pytrace=False)
    return result


def _wanted(item: pytest.Item) -> list[str]:
    """The complaints that the test's markers name."""
    return [str(mark.args[0]) for mark in item.iter_markers("complaint") if mark.args]


def _report_ktap(item: pytest.Item, report: pytest.TestReport, guests: list["Guest"]) -> None:
    """A report of its own for each case that the kernel printed the result of: KUnit, kselftest."""
    lines = [record.text for guest in guests for record in guest.evidence.records]
    if not any("tests" in line or "TAP version" in line for line in lines):
        return
    from kscaffold.testing.ktap import results  # start-up time: pytest runs without us, too

    for one in results(lines):
        item.ihook.pytest_runtest_logreport(
            report=pytest.TestReport(
                nodeid=item.nodeid,
                location=report.location,
                keywords={},
                outcome=one.outcome,
                longrepr=(str(item.path), 0, one.text) if one.outcome == "skipped" else one.text or None,
                when="call",
                user_properties=[*report.user_properties, (_CASE, one.name)],
            )
        )


def _plainly(report: pytest.TestReport, call: pytest.CallInfo[Any]) -> bool:
    """Report our own error as what failed, its cause and its fix: a traceback through our code says less.
    Returns whether the error is our own.
    """
    error: Any = call.excinfo.value if call.excinfo and report.failed else None
    if type(error).__module__.partition(".")[0] != "kscaffold" or not hasattr(error, "fix"):
        return False
    lines = [f"error[{error.code}]: {error.what}"]
    lines += [f"  {word}: {text}" for word in ("cause", "fix") if (text := getattr(error, word))]
    report.longrepr = "\n".join(lines)
    return True


def _report_failure(
    item: pytest.Item, report: pytest.TestReport, guests: list["Guest"], *, was_judged: bool
) -> None:
    """The texts of a failure: what the kernel complained of, its log, the line of source, and how to do the
    same again. Where the kernel names no line, the test is run a second time. `was_judged`: it did what it is
    about.
    """
    # start-up time: pytest runs without us, too
    from kscaffold.testing.results import SOURCE
    from kscaffold.testing.second_run import run_again, waits_for_lock
    from kscaffold.testing.verdict import again, guess_of, sections, source_of, unwanted_complaints

    complaints = unwanted_complaints(guests, _wanted(item), report.longreprtext)
    if complaints:
        _add(report, "kernel", "\n".join(complaints))
    sanitized = "sanitize" in str(item.config.getoption("--kscaffold-instruments") or "").split(",")
    report.sections += sections(guests, _MOST_LINES, sanitized=sanitized)
    source = source_of(guests, item.config.rootpath)
    if was_judged and (source is None or waits_for_lock(guests)):
        second = run_again(item, guests, report.duration)
        if second is not None:
            _add(report, "second run", second.text)
            if second.rows:
                report.sections.append(("calls of the module's functions, in a second run", second.rows))
        source = (second.source if second else None) or source or guess_of(guests, item.config.rootpath)
    name, release = item.nodeid.partition("::")[2], guests[0].kernel.release
    report.sections.append(("again", again(name, item.path, release, sanitized=sanitized)))
    if source:
        report.user_properties.append((SOURCE, source))


def _add(report: pytest.TestReport, title: str, text: str) -> None:
    """Put sentences behind those of a failure, where every reader of reports finds them."""
    add = getattr(report.longrepr, "addsection", None)
    if add:
        add(title, text)
    else:
        report.longrepr = f"{report.longrepr}\n{text}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On failure the report has the kernel's log, the source line and the commands that repeat the test by
    hand.
    """
    report = yield
    could_not = _plainly(report, call)
    guests = item.stash.get(_GUESTS, None) or []
    params = getattr(getattr(item, "callspec", None), "params", {})
    names = {name for guest in guests for name in guest.evidence.modules}
    named = params.get("module_name")
    if (call.when == "call" and (guests or named)) or (call.when != "call" and report.failed):
        release = guests[0].kernel.release if guests else params.get("_kscaffold_kernel")
        report.user_properties += [
            ("kscaffold.kernel", release or ""),
            ("kscaffold.modules", " ".join(sorted(names) or ([named] if named else []))),
        ]
    if call.when == "call" and guests:
        _report_ktap(item, report, guests)
    # Also of a fixture that uses the guest: it is still open.
    if call.when in ("setup", "call") and guests and report.failed:
        _report_failure(item, report, guests, was_judged=not could_not)
    return report
