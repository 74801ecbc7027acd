"""What becomes of the results of a run of tests: the table, JUnit's XML, a page, annotations of a service."""

import json
import os
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kscaffold import console
from kscaffold.cli.documents import test as documents
from kscaffold.cli.render import test as render
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.testing import annotations
from kscaffold.testing.executor import open_executor
from kscaffold.testing.html import render_page
from kscaffold.testing.junit import joined
from kscaffold.testing.pytest_job import TestResult
from kscaffold.testing.run import TestRun

pytest_plugins = ["pytester"]

KERNELS = (
    "5.10.0-46-cloud-amd64",
    "6.1.0-56-cloud-amd64",
    "6.1.0-56-cloud-arm64",
    "6.1.0-50-s390x",
    "6.12.117+deb12-cloud-amd64",
    "6.12.117+deb13-riscv64",
)
EVIL = "<script>alert(1)</script>\x1b[2J, 100%: a\nb"


def result(kernel: str, outcome="passed", test="tests/test_it.py::test_one", **more) -> TestResult:
    return TestResult(f"{test}[{kernel}]", outcome, 0.5, kernel, ("trap",), **more)


def run_of(*results: TestResult, kernels=KERNELS, **more) -> TestRun:
    return TestRun(Path("/src/driver"), kernels, results, False, 1.5, **more)


def test_the_table_fits_a_screen_and_tells_architectures_apart(capsys, monkeypatch):
    monkeypatch.setattr(console, "json_mode", False)  # another command of this process may have set it
    done = run_of(
        *map(result, KERNELS[:-1]), no_answer={KERNELS[-1]: KscaffoldError("KS502", "there is none")}
    )
    assert render.tested(done) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [word for line in lines if line.startswith("Module") for word in line.split()[1:]]
    assert heads == [
        "5.10.0-46", "6.1.0-56-amd64", "6.1.0-56-arm64", "6.1.0-50", "6.12.117+deb12", "6.12.117+deb13",
    ]  # fmt: skip
    cells = [line.partition("trap")[2] for line in lines if line.startswith("trap")]
    assert " ".join(cells).split() == ["passed"] * 5 + ["no", "answer"]


def test_the_table_tells_flavours_apart(capsys, monkeypatch):
    monkeypatch.setattr(console, "json_mode", False)
    kernels = (*KERNELS[:2], "6.1.0-56-amd64", KERNELS[4])
    assert render.tested(run_of(*map(result, kernels), kernels=kernels)) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [word for line in lines if line.startswith("Module") for word in line.split()[1:]]
    assert heads == ["5.10.0-46", "6.1.0-56-cloud-amd64", "6.1.0-56-amd64", "6.12.117+deb12"]


def test_a_column_names_the_machine_that_is_not_this_one(capsys, monkeypatch):
    monkeypatch.setattr(console, "json_mode", False)
    here, other = KERNELS[1], KERNELS[-1]
    arches = {here: os.uname().machine, other: "riscv64"}
    done = run_of(result(here), result(other), kernels=(here, other), arches=arches)
    assert render.tested(done) == 0
    head = capsys.readouterr().out.splitlines()[-2]
    assert head.split() == ["Module", here, f"riscv64:{other}"]
    assert f"riscv64:{other}" in render_page(done, datetime.now(UTC))
    assert [test["arch"] for test in documents.tested(done)["tests"]] == [os.uname().machine, "riscv64"]


def test_the_worst_of_a_module_s_tests_is_its_word():
    one, other = KERNELS[:2]
    done = run_of(result(one), result(one, "failed"), result(one, "skipped"), result(other, "skipped"))
    assert done.table() == {"trap": {one: "failed", other: "skipped"}}
    assert not done.ok and run_of(result(one), result(other, "skipped")).ok
    assert not run_of().ok and run_of(part="3/3").ok


def test_suites_of_several_pytests_are_one_document():
    part = b'<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="%d"/></testsuites>'
    whole = ElementTree.fromstring(joined([part % 1, part % 2]))
    assert [suite.get("tests") for suite in whole.iter("testsuite")] == ["1", "2"]
    assert joined([part % 1]) == part % 1


def test_the_page_holds_all_and_runs_nothing():
    failed = result(KERNELS[0], "failed", text=EVIL, file="trap.c", line=7, sections=(("kernel log", EVIL),))
    page = render_page(run_of(failed, result(KERNELS[1])), datetime(2026, 1, 2, tzinfo=UTC))
    assert "trap.c:7" in page and all(kernel in page for kernel in KERNELS)
    assert page.count("&lt;script&gt;alert(1)") == 2
    assert "<script" not in page and "\x1b" not in page
    assert "its tests did not pass" in page


def test_what_github_and_gitlab_are_told():
    text = "def test_one():\n>   assert 0\nE   100%: a, b\n"
    failed = result(KERNELS[0], "failed", text=text, file="trap.c", line=7)
    done = [failed, result(KERNELS[1])]
    here = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/src"}
    assert annotations.github(done, Path("/src/driver"), here) == [
        f"::error file=driver/trap.c,line=7,title=test_one on {KERNELS[0]}::100%25: a, b"
    ]
    assert annotations.github(done, Path("/src/driver"), {}) == []
    told = annotations.gitlab(done, Path("/src/driver"), {"GITLAB_CI": "true", "CI_PROJECT_DIR": "/src"})
    assert told
    (issue,) = json.loads(told)
    assert issue["location"] == {"path": "driver/trap.c", "lines": {"begin": 7}}
    assert issue["description"] == f"test_one on {KERNELS[0]}: 100%: a, b"
    assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
    assert annotations.gitlab(done, Path("/src/driver"), {}) is None


def test_a_test_that_is_not_the_projects_is_annotated_where_kbuild_reads_it(tmp_path):
    """The standard examination's file is none of the repository."""
    project = tmp_path / "driver"
    project.mkdir()
    (project / "Kbuild").write_text("obj-m := trap.o\n")
    failed = result(KERNELS[0], "failed", text="KS401: no licence", file="../../usr/examination.py", line=107)
    here = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    (line,) = annotations.github([failed], project, here)
    assert line.startswith("::error file=driver/Kbuild,line=1,title=test_one")


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_the_line_of_a_failure_is_that_of_the_test_which_it_went_through(pytester, workers):
    pytester.makeconftest("def fail():\n    assert 0\n")
    pytester.makepyfile(
        test_it="""
        import pytest
        from conftest import fail

        def refuses():
            raise ValueError

        def test_asserts():
            word = "no"
            assert word == "yes"

        def test_calls():
            refuses()

        def test_calls_another_file():
            fail()

        def test_is_judged():
            pytest.fail("not clean", pytrace=False)
        """
    )
    words = ("-p", "kscaffold", "--kscaffold-results", "results", *workers)
    assert pytester.runpytest_subprocess(*words).ret == 1
    found = map(json.loads, (pytester.path / "results").read_text().splitlines())
    lines = {one["test"].rpartition("::")[2]: (one["file"], one["line"]) for one in found}
    assert lines == {
        "test_asserts": ("test_it.py", 9),
        "test_calls": ("test_it.py", 5),
        "test_calls_another_file": ("test_it.py", 15),
        "test_is_judged": ("test_it.py", 17),
    }


@pytest.mark.parametrize(
    "word", ["", "threads", "os:", "no_such_module:x", "os:nothing", "os:sep", "os:getcwd"]
)
def test_what_is_no_executor(word):
    with pytest.raises(UsageError) as error, open_executor(word):
        pass
    assert error.value.code == "KS657"


def test_any_executor_is_one():
    with open_executor("concurrent.futures:ThreadPoolExecutor") as executor:
        assert executor.submit(pow, 2, 5).result() == 32
