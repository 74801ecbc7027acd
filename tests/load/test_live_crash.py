"""A crash in a live sandbox that no command looked on: the next one tells it, with its line, and once."""

import time
from pathlib import Path

import pytest

from tests.support.kernels import need_kernel
from tests.support.projects import write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

LATE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/proc_fs.h>

static int *nothing;

static ssize_t late_write(struct file *f, const char __user *b, size_t n, loff_t *o)
{
\t*nothing = 1;
\treturn n;
}

static const struct proc_ops late_ops = { .proc_write = late_write };

static int __init late_init(void)
{
\treturn proc_create("late", 0600, NULL, &late_ops) ? 0 : -ENOMEM;
}

static void __exit late_exit(void)
{
\tremove_proc_entry("late", NULL);
}

module_init(late_init);
module_exit(late_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("crashes its kernel when somebody writes");
"""
TOLD = "the sandbox's kernel complained since the last command: BUG: kernel NULL pointer dereference"


@pytest.fixture
def late(ks, tmp_path: Path) -> Path:
    """The project, its module loaded."""
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    at = write(tmp_path / "late", Kbuild="obj-m := late.o\n", late__c=LATE)
    assert ks("load", "-C", at).status == 0
    return at


@pytest.mark.parametrize("verb", ["list", "logs", "unload", "load"])
def test_the_next_command_tells_it_once(ks, late: Path, verb: str):
    background = "(sleep 1; echo x > /proc/late) >/dev/null 2>&1 &"
    assert ks("exec", "-C", late, "--", "sh", "-c", background).status == 0
    time.sleep(2.0)
    told = ks(verb, "-C", late)
    assert TOLD in told.err and "at late.c:9" in told.err, told.err
    assert ">    9 |     *nothing = 1;" in told.err
    assert TOLD not in ks("logs", "-C", late).err


def test_what_exec_told_no_other_tells_as_news(ks, late: Path):
    ran = ks("exec", "-C", late, "--", "sh", "-c", "echo x > /proc/late")
    assert ran.status == 128 + 9
    assert "the kernel complained: BUG: kernel NULL pointer dereference" in ran.err and "late.c:9" in ran.err
    for verb in ("list", "logs"):
        assert "since the last command" not in ks(verb, "-C", late).err


TIMED = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/timer.h>

static int *nothing;

static void timed_out(struct timer_list *timer)
{
\t*nothing = 1;
}

static DEFINE_TIMER(timed, timed_out);

static int __init timed_init(void)
{
\tmod_timer(&timed, jiffies + msecs_to_jiffies(1500));
\treturn 0;
}

module_init(timed_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("crashes its kernel while others do something");
"""
SLOW = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/delay.h>
#include <linux/module.h>

static int __init slow_init(void)
{
\tmsleep(4000);
\treturn 0;
}

static void __exit slow_exit(void)
{
}

module_init(slow_init);
module_exit(slow_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("takes its time");
"""


@pytest.mark.parametrize("verb", ["run", "load"])
def test_a_crash_while_another_is_loaded_is_not_that_one_s(ks, tmp_path: Path, verb: str):
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    at = write(tmp_path / "two", Kbuild="obj-m := timed.o slow.o\n", timed__c=TIMED, slow__c=SLOW)
    assert ks("build", "-C", at).status == 0
    told = ks(verb, "-C", at, "timed.ko", "slow.ko")
    assert told.status == 1
    said = " ".join((told.out + told.err).split())
    assert "slow.ko: nobody knows: the kernel crashed meanwhile" in said
    assert "cause: timed crashed it: BUG: kernel NULL pointer dereference" in said and "timed.c:9" in said
    # A load that was told as it went stays as it was told.
    assert ("timed.ko: crashed the kernel at stage live" in said) == (verb == "run")
    assert "source: timed.c:9, timed_out()" in said
