"""A test that ends while a worker or a thread of its module does not: it fails, with the line."""

import pytest

from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

SOURCE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

static char *what = "";
module_param(what, charp, 0);
static DEFINE_MUTEX(kept);
static DECLARE_WAIT_QUEUE_HEAD(queue);
static volatile int count;

static void runs(struct work_struct *work)
{
\twhile (count >= 0) cond_resched();
}

static void waits(struct work_struct *work)
{
\tmutex_lock(&kept);
\tcount++;
\tmutex_unlock(&kept);
}

static void last(struct work_struct *work)
{
\tmutex_lock(&kept);
}

static int thread(void *unused)
{
\tif (!strcmp(what, "idle"))
\t\twait_event_interruptible(queue, kthread_should_stop());
\tif (!strcmp(what, "deaf"))
\t\twait_event(queue, kthread_should_stop());
\twhile (!kthread_should_stop())
\t\tif (!strcmp(what, "sleeps"))
\t\t\tmsleep(300);
\t\telse
\t\t\tcond_resched();
\treturn 0;
}

static struct work_struct work;
static struct task_struct *task;

static int __init odd_init(void)
{
\tvoid (*item)(struct work_struct *) =
\t\t!strcmp(what, "runs") ? runs : !strcmp(what, "waits") ? waits : !strcmp(what, "last") ? last : NULL;

\tif (item) {
\t\tmutex_lock(&kept);
\t\tINIT_WORK(&work, item);
\t\tschedule_work(&work);
\t} else {
\t\ttask = kthread_run(thread, NULL, "odd");
\t}
\treturn PTR_ERR_OR_ZERO(task);
}

static void __exit odd_exit(void)
{
\tif (work.func)
\t\tflush_work(&work);
\tif (task)
\t\tkthread_stop(task);
}
module_init(odd_init);
module_exit(odd_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""
TESTS = """\
import time

import pytest


@pytest.mark.parametrize("what", ["runs", "waits", "last", "idle", "deaf", "sleeps", "turns"])
def test_passes(guest, what):
    guest.load(what=what)
    time.sleep(0.3)
"""


def line_of(text: str, after: str) -> int:
    head, _, rest = SOURCE.partition(after)
    return 1 + head.count("\n") + rest.partition(text)[0].count("\n")


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize("series", ["5.10", "6.12"])
def test_what_does_not_end_with_its_module_is_stuck(ks, tmp_path, series):
    """Who waits for what comes, sleeps for a moment or runs until it is stopped is not."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    here = write(tmp_path / "odd", odd__c=SOURCE, Kbuild="obj-m := odd.o\n", tests_0_test_odd__py=TESTS)
    (here / "pytest.ini").write_text("[pytest]\naddopts = --kscaffold-second-runs=0\n")
    ran = ks("test", "--kernel", need_kernel(series).release, "-C", here, "--json")
    assert ran.status == 1, ran.err
    told = {t["test"].rpartition("-")[2].rstrip("]"): t for t in ran.json["tests"]}
    assert {w for w, t in told.items() if t["outcome"] == "passed"} == {"idle", "deaf", "sleeps", "turns"}
    lines = {
        "runs": line_of("while", "void runs("),
        "waits": line_of("mutex_lock", "void waits("),
        "last": line_of("(", "static void last"),
    }
    for what, line in lines.items():
        assert (told[what]["file"], told[what]["line"]) == ("odd.c", line)
        verb = "runs" if what == "runs" else "waits"
        said = f" {verb} at odd.c:{line}, and does not end: odd can't be unloaded (KS309)"
        assert said in told[what]["text"]
        assert "not clean: kworker/" in told[what]["text"]
        assert "the kernel complained" not in told[what]["text"]
