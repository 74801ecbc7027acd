"""`test --sanitize` and `test --coverage`: a report fails its test, and lines are counted over all tests."""

import re
from pathlib import Path

import pytest

from tests.support.kernels import need_kernel
from tests.support.projects import write

SOURCE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static char *note;
static int leak, refuse;
module_param(leak, int, 0);
module_param(refuse, int, 0);

static int __init keeps_init(void)
{
\tif (refuse)
\t\treturn -EINVAL;
\tvfree(vzalloc(PAGE_SIZE));
\tnote = kmalloc(24, GFP_KERNEL);
\treturn note ? 0 : -ENOMEM;
}

static void __exit keeps_exit(void)
{
\tif (leak)
\t\treturn;
\tkfree(note);
}

module_init(keeps_init);
module_exit(keeps_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("may keep its memory");
"""
TESTS = """\
import pytest


def test_well(guest):
    guest.load()
    guest.unload()
    assert not any("ks_" in line for line in guest.log())


def test_leak(guest):
    guest.load(leak=1)
    guest.unload()


def test_leak_of_what_stays_loaded(guest):
    guest.load(leak=1)


def test_what_is_refused_leaves_nothing(guest):
    assert not guest.try_load(refuse=1).ok


@pytest.mark.complaint("KS709")
def test_leak_that_is_wanted(guest):
    guest.load(leak=1)
    guest.unload()
"""


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_report_fails_its_test_and_lines_of_all_tests_are_counted(ks, tmp_path: Path):
    here = write(tmp_path / "keeps", keeps__c=SOURCE, Kbuild="obj-m := keeps.o\n")
    (here / "tests").mkdir()
    (here / "tests/test_keeps.py").write_text(TESTS)
    first, second = need_kernel("6.1").release, need_kernel("6.12").release
    words = ("--json", "--sanitize", "--coverage", "-C", here, "--lcov", tmp_path / "keeps.lcov")
    words = (*words, "--html", tmp_path / "keeps.html")
    ran = ks("test", "--kernel", first, "--kernel", second, *words)
    assert ran.status == 1, ran.err
    outcomes = {(t["test"].rpartition("::")[2].partition("[")[0], t["outcome"]) for t in ran.json["tests"]}
    assert outcomes == {
        ("test_well", "passed"),
        ("test_leak", "failed"),
        ("test_leak_of_what_stays_loaded", "failed"),
        ("test_what_is_refused_leaves_nothing", "passed"),
        ("test_leak_that_is_wanted", "passed"),
    }
    for failed in (t for t in ran.json["tests"] if t["outcome"] == "failed"):
        assert "memory leak: an object of 24 bytes, never freed (KS709), keeps.c:16" in failed["text"]
    (file,) = ran.json["coverage"]["files"]
    assert {line["line"]: line["count"] for line in file["lines"]}[16] == 8
    assert {f["name"]: f["count"] for f in file["functions"]} == {"keeps_init": 10, "keeps_exit": 8}
    page = (tmp_path / "keeps.html").read_text()
    assert "100 % of the lines ran" in page and "<td>keeps.c</td>" in page
    assert re.search(r">\s+8\s+16  \tnote = kmalloc\(24, GFP_KERNEL\);</span>", page)
    assert f"SF:{here}/keeps.c\n" in (tmp_path / "keeps.lcov").read_text()
