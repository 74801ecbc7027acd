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
    assert document["modules"] == [{"module": "trap", "kernel": release, "outcome": "passed"}]
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
    assert [t["outcome"] for t in document["tests"]] == ["failed"]
    assert not document["ok"]


def test_a_path_that_is_not_there(ks, here):
    ran = ks("test", "no/such", "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS651"
