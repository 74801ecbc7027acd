"""`test`: a project's tests, and the examination of one that has none."""

import xml.etree.ElementTree as ElementTree

import pytest

from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write
from tests.testing.test_plugin import LINE_OF_WARN, TRAP


@pytest.fixture
def here(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := trap.o\n", trap__c=TRAP))
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    return tmp_path


TESTS = """
def test_word(guest):
    guest.load()
    guest.write("/proc/trap", "word")
    assert guest.read("/proc/trap") == "word"

def test_warns(guest):
    guest.load()
    guest.write("/proc/trap", "W")
"""


@pytest.mark.sandbox
def test_the_projects_tests(ks, here):
    write(here, tests_0_test_it__py=TESTS)
    release = need_kernel("6.1").release
    ran = ks("test", "--kernel", "6.1", "--junit", "out.xml")
    assert ran.status == 1
    assert "1 failed, 1 passed" in ran.out and f"trap.c:{LINE_OF_WARN}" in ran.out
    assert ran.out.splitlines()[-2:] == [f"Module  {release}", "trap    failed"]
    cases = {case.get("name"): case for case in ElementTree.parse(here / "out.xml").iter("testcase")}
    assert set(cases) == {f"test_word[{release}]", f"test_warns[{release}]"}
    assert cases[f"test_warns[{release}]"].find("failure") is not None
    document = ks("test", "-k", "word", "--json").json
    assert document["ok"] and not document["examined"]
    assert document["modules"] == [
        {"module": "trap", "kernel": release, "arch": "x86_64", "outcome": "passed"}
    ]
    assert ks("test", "-k", "nothing").status == 2
    shards = [ks("test", "--shard", f"{n}/2", "--json").json["tests"] for n in (1, 2)]
    assert [len(tests) for tests in shards] == [1, 1]


@pytest.mark.sandbox
def test_the_examination_of_a_good_module(ks, here):
    document = ks("test", "--json").json
    assert document["ok"] and document["examined"]
    outcomes = {t["test"].partition("::")[2].partition("[")[0]: t["outcome"] for t in document["tests"]}
    assert outcomes == {
        "test_builds_without_warnings": "passed",
        "test_check": "passed",
        "test_loads_and_unloads_twice": "passed",
        "test_parameters_at_their_limits": "passed",
        "test_unload_while_in_use": "passed",
    }


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("good", "bad", "fails"),
    [
        ("static int howmany;", "static int howmany; void lost(void) { }", "test_builds_without_warnings"),
        ('remove_proc_entry("trap", NULL);', "", "test_loads_and_unloads_twice"),
        ("return howmany < 0 ?", "*(&length + howmany / 8) = 7; return howmany < 0 ?",
         "test_parameters_at_their_limits"),
    ],
)  # fmt: skip
def test_the_examination_of_a_bad_one(ks, here, good, bad, fails):
    assert good in TRAP
    (here / "trap.c").write_text(TRAP.replace(good, bad) + "\n/* " + fails + " */\n")
    document = ks("test", "-k", fails, "--json").json
    assert [(t["outcome"], t["file"]) for t in document["tests"]] == [("failed", "trap.c")]
    assert not document["ok"]


@pytest.mark.sandbox
def test_several_kernels_side_by_side(ks, here):
    write(here, tests_0_test_it__py=TESTS)
    releases = [need_kernel(series).release for series in ("6.1", "6.12")]
    words = [f"--kernel={release}" for release in releases]
    ran = ks("test", *words, "--junit", "out.xml", "--html", "out.html")
    assert ran.status == 1
    heads = [line for line in ran.out.splitlines() if line.startswith("== ")]
    assert sorted(heads) == [f"== {release} ==" for release in releases]
    first, second = ran.out.splitlines()[-2:]
    assert (first.split(), second.split()) == (["Module", *releases], ["trap", "failed", "failed"])
    suites = list(ElementTree.parse(here / "out.xml").iter("testsuite"))
    assert [(suite.get("tests"), suite.get("failures")) for suite in suites] == [("2", "1")] * 2
    page = (here / "out.html").read_text()
    assert all(release in page for release in releases) and f"trap.c:{LINE_OF_WARN}" in page
    # The checkout is not built in: two kernels would meet there.
    assert not list(here.glob("*.ko"))
    document = ks("test", *words, "-k", "warns", "-x", "--executor", "dask", "--json").json
    assert {(t["outcome"], t["file"], t["line"]) for t in document["tests"]} == {
        ("failed", "trap.c", LINE_OF_WARN)
    }
    assert f"kscaffold test --kernel {document['kernels'][0]} tests/test_it.py::test_warns" in str(document)


@pytest.mark.kernel
def test_a_file_of_tests_that_can_not_be_read(ks, here):
    write(here, tests_0_test_it__py="def test_it(:\n")
    document = ks("test", "--json").json
    assert [(t["test"], t["outcome"]) for t in document["tests"]] == [("tests/test_it.py", "error")]
    assert "SyntaxError" in document["tests"][0]["text"]


THREE = """
import pytest
def test_a(modules): ...
def test_b(modules): ...
@pytest.mark.skip("later")
def test_c(): ...
"""


@pytest.mark.kernel
def test_what_does_not_build_is_built_once(ks, here):
    """One make for all tests that need the module, and what the compiler said is told once."""
    (here / "trap.c").write_text("int wrong = ;\n")
    write(here, tests_0_test_it__py=THREE)
    first, second, third = ks("test", "--json").json["tests"]
    assert "the build failed: " in first["text"] and "trap.c:1: expected expression" in first["text"]
    assert (
        second["text"]
        == "the build failed, as for the test before: trap.c:1: expected expression before ';' token"
    )
    assert [one["outcome"] for one in (first, second, third)] == ["error", "error", "skipped"]
    assert third["text"] == "later"


# Nothing holds the module while its file is open: the close calls code that has gone.
NO_OWNER = """
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
static int left_release(struct inode *inode, struct file *file) { return 0; }
static const struct file_operations left_ops = { .release = left_release };
static struct miscdevice left = { .minor = MISC_DYNAMIC_MINOR, .name = "left", .fops = &left_ops };
module_misc_device(left);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""


@pytest.mark.sandbox
def test_the_examination_closes_a_file_after_the_unload(ks, here):
    (here / "trap.c").write_text(NO_OWNER)
    (tested,) = ks("test", "-k", "in_use", "--json").json["tests"]
    assert tested["outcome"] == "failed"
    assert any("unable to handle page fault" in one["text"] for one in tested["sections"])
    assert "without .owner = THIS_MODULE nobody holds the module" in tested["text"]
    (here / "trap.c").write_text(NO_OWNER.replace("{ .release", "{ .owner = THIS_MODULE, .release"))
    (tested,) = ks("test", "-k", "in_use", "--json").json["tests"]
    assert tested["outcome"] == "passed"


def test_a_path_that_is_not_there(ks, here):
    ran = ks("test", "no/such", "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS651"
