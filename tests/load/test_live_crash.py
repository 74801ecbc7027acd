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
