"""A failed test is run again where the kernel names no line: what the sanitizer and the calls then tell."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from kscaffold.elf import quick
from kscaffold.load.addr2line import SourceLine
from kscaffold.testing import annotations, second_run
from kscaffold.testing.calls import Calls, returns_in, value_text
from kscaffold.testing.pytest_job import TestResult
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

SOURCE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

static DEFINE_MUTEX(odd_lock);
static void *volatile note;
static int reads;

static noinline void odd_count(void)
{
\treads++;
}

static ssize_t odd_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
\tnote = kmalloc(40, GFP_KERNEL);
\todd_count();
\treturn reads == 2 ? -EBADMSG : 0;
}

static ssize_t odd_write(struct file *f, const char __user *from, size_t size, loff_t *at)
{
\tmutex_lock(&odd_lock);
\tif (size == 7)
\t\treturn size;
\tmutex_unlock(&odd_lock);
\treturn size == 5 ? -EXDEV : size;
}

static const struct file_operations odd_ops = {
\t.owner = THIS_MODULE,
\t.read = odd_read,
\t.write = odd_write,
};
static struct miscdevice odd = { .minor = MISC_DYNAMIC_MINOR, .name = "odd", .fops = &odd_ops };
module_misc_device(odd);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""
TESTS = """\
from pathlib import Path


def test_kept(guest):
    guest.load()
    guest.write("/dev/odd", "seven b")
    guest.write("/dev/odd", "ab", timeout=2)


def test_kept_again(guest):
    test_kept(guest)


def test_leak(guest):
    guest.load()
    guest.read("/dev/odd")
    guest.exec("dd", "if=/dev/odd", "count=1", "of=/dev/null")
    assert 0, "for the sake of the leak"


def test_wrong(guest):
    guest.load()
    guest.write("/dev/odd", "ab")
    assert guest.exec("dd", "if=/dev/zero", "of=/dev/odd", "bs=5", "count=1").returncode == 0


def test_of_once(guest):
    guest.load()
    here = Path(__file__).with_name("was-here")
    if not here.exists():
        here.touch()
        raise ValueError("the first time")


def test_not_asked_for(guest):
    guest.load()
    assert 0
"""


def line_of(text: str) -> int:
    return 1 + next(n for n, line in enumerate(SOURCE.splitlines()) if text in line)


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_what_a_second_run_tells(ks, tmp_path, series):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    here = write(tmp_path / "odd", odd__c=SOURCE, Kbuild="obj-m := odd.o\n", tests_0_test_odd__py=TESTS)
    (here / "pytest.ini").write_text("[pytest]\naddopts = --kscaffold-second-runs=4\n")
    ran = ks(
        "test", "--kernel", need_kernel(series).release, "-C", here, "--junit", here / "out.xml", "--json"
    )
    assert ran.status == 1, ran.err
    told = {t["test"].partition("::")[2].partition("[")[0]: t for t in ran.json["tests"]}
    assert {t["outcome"] for t in told.values()} == {"failed"}

    leak = told["test_leak"]
    assert (leak["file"], leak["line"]) == ("odd.c", line_of("kmalloc("))
    assert "BUG: memory leak: 2 objects of 40 bytes, never freed (odd.c:" in leak["text"]
    read = f"odd_read() at odd.c:{line_of('odd_read(')}"
    assert (
        f"in a second run the last call that reached the module: {read}, returned -74 (EBADMSG)"
        in leak["text"]
    )
    (rows,) = (s["text"] for s in leak["sections"] if "second run" in s["title"])
    assert rows.splitlines() == [
        f"odd.c:{line_of('void odd_count(')}  odd_count()  2 calls",
        f"odd.c:{line_of('odd_read(')}  odd_read()  2 calls, returned 0, -74 (EBADMSG)",
    ]

    # Who waits is no help: where the lock was taken that nobody gave back.
    kept, taken = told["test_kept"], line_of("mutex_lock(")
    assert (kept["file"], kept["line"]) == ("odd.c", taken)
    assert f"the sanitizer saw: WARNING: lock held when returning (odd.c:{taken})" in kept["text"]
    assert "did not end within 2 s" in kept["text"]
    # One that takes its whole deadline is run again, and no more.
    assert "second run" not in json.dumps(told["test_kept_again"])

    wrong = told["test_wrong"]
    asserted = next(n for n, line in enumerate(TESTS.splitlines(), 1) if '"of=/dev/odd"' in line)
    assert (wrong["file"], wrong["line"]) == ("tests/test_odd.py", asserted)
    assert f"odd_write() at odd.c:{line_of('odd_write(')}, returned -18 (EXDEV)" in wrong["text"]
    once = told["test_of_once"]
    assert "in a second run it passed" in once["text"] and "the first time" in once["text"]
    assert "second run" not in json.dumps(told["test_not_asked_for"])

    cases = {
        c.get("name", "").partition("[")[0]: c for c in ElementTree.parse(here / "out.xml").iter("testcase")
    }
    assert len(cases) == 6
    assert f"odd.c:{line_of('kmalloc(')}" in (cases["test_leak"].findtext("failure") or "")


@pytest.mark.kernel
def test_the_functions_that_stay(ks, tmp_path):
    here = write(tmp_path / "odd", odd__c=SOURCE, Kbuild="obj-m := odd.o\n")
    assert ks("build", "-C", here, "--kernel", need_kernel("6.1").release).status == 0
    assert sorted(quick.functions(here / "odd.ko")) == ["odd_count", "odd_read", "odd_write"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (4096, "4096"),
        ((1 << 64) - 11, "-11 (EAGAIN)"),
        ((1 << 32) - 16, "-16 (EBUSY)"),
        ((1 << 64) - 512, "-512 (ERESTARTSYS)"),
        ((1 << 64) - 4000, "-4000"),
        ((1 << 64) - 4096, "0xfffffffffffff000"),
        (0xFFFF888000000000, "0xffff888000000000"),
    ],
)
def test_what_a_register_means(value, text):
    assert value_text(value) == text


def test_a_row_says_how_often_and_not_what_void_returned():
    lines = ((4, "static void"), (5, "late(struct work_struct *work)"))
    late = Calls("m", "late", SourceLine("m.c", 5, "late", lines), ((77, 3),), True, 77)
    assert (late.row, late.end) == ("m.c:5  late()  3 calls", "late() at m.c:5")
    pointer = SourceLine("m.c", 5, "late", ((5, "static void *late(int a)"),))
    many = Calls("m", "late", pointer, tuple((n, 1 + n % 2) for n in range(8)))
    assert many.row == "m.c:5  late()  12 calls, returned 0, 1 (2 times), 2, 3 (2 times), 4, 5 (2 times), …"
    assert Calls("m", "late", None, ((0, 1),)).row == "m  late()  1 call, returned 0"


def test_a_bug_of_several_loads_is_told_once():
    bug = ["BUG: memory leak: an object of 4 bytes, never freed", "m.c:7", "/m/m.c"]
    told = second_run._summary({"bugs": [bug, bug], "rows": [], "last": []}, Path("/m"), passed=False)
    assert told == second_run.SecondRun(f"in a second run the sanitizer saw: {bug[0]} (m.c:7)", "", "m.c:7")


def test_an_annotation_says_what_its_line_did():
    text = "def test_a():\n>   assert 0\nE   assert 0\n---- second run ----\n"
    text += "in a second run the sanitizer saw: BUG: memory leak: an object of 4 bytes, never freed (m.c:7)\n"
    one = TestResult("tests/a.py::test_a[6.1]", "failed", 1.0, "6.1", ("m",), text, "m.c", 7)
    (line,) = annotations.github([one], Path("/m"), {"GITHUB_ACTIONS": "true"})
    assert line.startswith("::error file=m.c,line=7,")
    assert re.search(r"::assert 0%0Ain a second run the sanitizer saw: BUG: memory leak", line)


def test_an_interrupt_in_a_programs_task_is_no_call_of_the_programs():
    """As 6.1 and 6.12 write the returns of a timer's, a thread's and a file's function."""
    trace = """# tracer: nop
             cat-81      [000] .....     9.123456: ks_call_2: (seq_read_iter+0x1/0x2 <- show) ret=0x0
             cat-81      [000] ..s1.     9.123466: ks_call_0: (call_timer_fn+0x1/0x2 <- tick) ret=0x1
             cat-81      [000] d.h2.     9.123476: ks_call_0: (__handle_irq+0x1/0x2 <- irq) ret=0x1
    kworker/u2:0-9       [000] .....     9.123486: ks_call_1: (process_one_work+0x1/0x2 <- work) ret=0x5
"""
    assert returns_in(trace) == [(2, 0, True), (0, 1, False), (0, 1, False), (1, 5, False)]
