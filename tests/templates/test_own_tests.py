"""The tests that a template brings pass on the template, and fail on a bug in it."""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from kscaffold import process
from tests.scaffold.test_build import warnings
from tests.support import templated
from tests.support.kernels import need_kernel
from tests.templates.chardev_bugs import BUGS, MARK, chardev_with_bugs

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

BUILT_BY_ONE_MAKE = """
import pytest

@pytest.fixture
def modules(request):
    return {ko.stem.replace("-", "_"): ko for ko in request.path.parent.parent.glob("*.ko")}
"""
"""A conftest.py for templates that were built already, all by one make."""
_TIMEOUT = 900.0  # s


def own_tests(
    place: Path, release: str, conftest: str, tests: Iterable[str] = ("",)
) -> tuple[list[dict], str]:
    """Run tests below a directory on a kernel, by one pytest: a line of results for each, and the output."""
    (place / "conftest.py").write_text(conftest)
    results = place / f"results-{release}"
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        place,
    ]
    argv += [
        "--kscaffold-kernel",
        release,
        "--kscaffold-second-runs",
        "20",
        "--kscaffold-results",
        results,
        *(f"{place}/{test}" for test in tests),
    ]
    done = process.run([str(word) for word in argv], timeout=_TIMEOUT, cwd=place)
    assert results.exists(), done.stdout + done.stderr
    return [json.loads(line) for line in results.read_text().splitlines()], done.stdout


@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_every_template_passes_its_own_tests(series):
    place = templated.built(series).place
    results, _ = own_tests(place, need_kernel(series).release, BUILT_BY_ONE_MAKE)
    failed = [(r["test"], r["text"]) for r in results if r["outcome"] != "passed"]
    assert failed == []
    tested = {Path(r["test"].partition("::")[0]).parent.parent.name for r in results}
    assert tested == {templated.module(t) for t in templated.built(series).names}


def test_those_that_need_a_full_kernel(full_kernel):
    """Of classes of devices that the small kernels are built without."""
    needy = tuple(t for t in templated.names() if t not in templated.names(need_kernel("6.1")))
    assert needy == ("i2c", "spi", "usb")
    built = templated.built_for(full_kernel, needy)
    assert built.status == 0, built.output
    assert [w for w in warnings(built.output) if "my-" in w] == []
    results, _ = own_tests(built.place, full_kernel.release, BUILT_BY_ONE_MAKE)
    assert [(r["test"], r["text"]) for r in results if r["outcome"] != "passed"] == []
    assert {Path(r["test"]).parts[0] for r in results} == {templated.module(t) for t in needy}


def test_a_fresh_chardev_on_two_kernels(ks, tmp_path, monkeypatch):
    releases = [need_kernel(series).release for series in ("6.1", "6.12")]
    monkeypatch.chdir(tmp_path)
    assert ks("new", "dev", "--template", "chardev").status == 0
    monkeypatch.chdir(tmp_path / "dev")
    words = [word for release in releases for word in ("--kernel", release)]
    ran = ks("test", *words, "--junit", "out.xml")
    assert ran.status == 0, ran.out
    assert ran.out.splitlines()[-1].split() == ["dev", "passed", "passed"]
    assert 'failures="0"' in (tmp_path / "dev/out.xml").read_text()


def test_without_tests(ks, tmp_path):
    assert ks("new", "dev", "-t", "chardev", "--no-tests", "-C", tmp_path).status == 0
    project = tmp_path / "dev"
    assert not (project / "tests").exists()
    assert "kscaffold test" not in (project / "README.md").read_text()
    (project / "dev.h").write_text((project / "dev.h").read_text() + "\n/* mine */\n")
    assert ks("update", project).status == 0
    assert not (project / "tests").exists()


_WITH_BUGS = """
import pytest

def pytest_generate_tests(metafunc):
    bugs = {bugs!r}
    mine = [b for b, test in bugs.items() if test == metafunc.function.__name__]
    metafunc.parametrize("bug", mine, ids=map("bug{{}}".format, mine))

@pytest.fixture
def modules(request, bug):
    return {{"my_chardev": request.path.parent.parent / "bugs" / str(bug) / "my-chardev.ko"}}

@pytest.fixture(autouse=True)
def _has_bug(bug):
    pass
"""


def test_a_bug_in_a_handler_fails_the_right_test_with_its_line(tmp_path):
    """Each kind of bug in each handler of chardev."""
    kernel = need_kernel("6.1")
    lines = chardev_with_bugs(tmp_path, kernel)
    conftest = _WITH_BUGS.format(bugs={bug.number: bug.test for bug in BUGS})
    tests = {f"my-chardev/tests/{MARK}::{bug.test}" for bug in BUGS}
    results, printed = own_tests(tmp_path, kernel.release, conftest, sorted(tests))
    told = {}
    for result in results:
        test, number = re.search(r"::(\w+)\[.*bug(\d+)", result["test"]).groups()
        told[int(number)] = (test, result["outcome"])
    parts = re.split(r"^_+ test_\w+\[.*?bug(\d+).*\] _+$", printed, flags=re.M)
    reports = {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert told == {bug.number: (bug.test, "failed") for bug in BUGS}
    for bug in BUGS:
        assert f"my-chardev.c:{lines.of(bug)}" in reports[bug.number], (bug, reports[bug.number])
        if not bug.in_the_kernel:
            assert f"{MARK}:" in reports[bug.number], (bug, reports[bug.number])
        if bug.kind == "leak":
            # One for each call.
            assert re.search(
                r"in a second run the sanitizer saw: BUG: memory leak: \d+ objects of 64 bytes",
                reports[bug.number],
            )
