"""Many tests, and tests whose module kills their guest: nothing is left, and no other test is touched."""

import json
import os
import re
import time
from pathlib import Path

import pytest

from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.sandbox

MANY = """
import json, os, resource
from pathlib import Path
import pytest

@pytest.fixture
def measured():
    yield
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    facts = [os.getpid(), pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))]
    with open("figures", "a") as file:
        file.write(json.dumps(facts) + "\\n")

@pytest.mark.parametrize("number", range(200))
def test_it(measured, guest, number):
    if number % 20 == 0:
        guest.load()
"""


def processes() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def ours(mark: str) -> list[str]:
    """The command lines of running guests and pytests that name a directory of this test's own."""
    return [line for line in processes().values() if mark in line]


@pytest.fixture
def project(pytester):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    pytester.path.joinpath("Kbuild").write_text("obj-m := hello.o\n")
    pytester.path.joinpath("hello.c").write_text(HELLO)
    return pytester


def test_two_hundred_tests_leave_nothing(project):
    runtime = os.environ["XDG_RUNTIME_DIR"]
    scratch = Path(os.environ["XDG_CACHE_HOME"], "kscaffold/tmp")
    project.makepyfile(MANY)
    release = need_kernel("6.1").release
    before = set(scratch.glob("*"))
    ran = project.runpytest_subprocess("-n", "2", "-q", "--kscaffold-kernel", release)
    ran.assert_outcomes(passed=200)
    assert ours(runtime) == []
    assert list(Path(runtime, "kscaffold/guests").iterdir()) == []
    assert {p for p in set(scratch.glob("*")) - before if str(os.getpid()) in p.name} == set()
    figures = [json.loads(line) for line in project.path.joinpath("figures").read_text().splitlines()]
    assert len(figures) == 200
    workers = {pid for pid, _, _ in figures}
    assert len(workers) == 2
    for worker in workers:
        own = [(memory, files) for pid, memory, files in figures if pid == worker]
        # The first tests import what the others use.
        warm, last = own[len(own) // 3], own[-1]
        assert last[1] == warm[1], "descriptors"
        assert last[0] - warm[0] < 4 << 20, "memory"


DEADLY = """
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
static int *volatile nowhere;
static DEFINE_MUTEX(lock);
static void deadly_work(struct work_struct *w)
{
	for (;;) cpu_relax(); /* in a worker */
}
static DECLARE_WORK(work, deadly_work);
static long deadly_ioctl(struct file *f, unsigned int what, unsigned long argument)
{
	switch (what) {
	case 101:
		*nowhere = 1; /* oops */
		break;
	case 102:
		mutex_lock(&lock);
		mutex_lock(&lock); /* for ever */
		break;
	case 103:
		for (;;) cpu_relax(); /* in the call */
	case 104:
		schedule_work(&work);
		flush_work(&work);
		break;
	case 105:
		panic("deadly: panic");
	}
	return 0;
}
static ssize_t deadly_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
	while (size) cpu_relax(); /* in a read */
	return 0;
}
static const struct file_operations deadly_ops = {
	.owner = THIS_MODULE,
	.read = deadly_read,
	.unlocked_ioctl = deadly_ioctl,
};
static struct miscdevice deadly = { .minor = MISC_DYNAMIC_MINOR, .name = "deadly", .fops = &deadly_ops };
module_misc_device(deadly);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""
CALL = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
int main(int n, char **w)
{
	return ioctl(open("/dev/deadly", O_RDWR), atoi(w[1])) != 0;
}
"""
TESTS = """
import pytest

@pytest.mark.parametrize("call", [100, 101, 102, 103, 104, 105])
def test_call(guest, call):
    guest.load()
    assert guest.exec("call.c", call, timeout=2).returncode == 0

def test_read(guest):
    guest.load()
    guest.read("/dev/deadly", timeout=2)
"""


@pytest.mark.parametrize("words", [("-p", "no:xdist"), ("-n", "2")])
def test_a_module_that_kills_its_guest_ends_its_own_test_only(project, words):
    project.path.joinpath("Kbuild").write_text("obj-m := deadly.o\n")
    project.path.joinpath("deadly.c").write_text(DEADLY)
    project.path.joinpath("call.c").write_text(CALL)
    project.makepyfile(TESTS)
    began = time.monotonic()
    ran = project.runpytest_subprocess(
        "-q", *words, "--kscaffold-kernel", need_kernel("6.1").release, "--durations=0"
    )
    ran.assert_outcomes(passed=1, failed=6)
    assert time.monotonic() - began < 120
    told = str(ran.stdout)
    line = 1 + DEADLY.splitlines().index("\t\t*nowhere = 1; /* oops */")
    assert f"deadly.c:{line}" in told and "NULL pointer dereference" in told
    # Each within its deadline, and with where it is.
    failure = "E       kscaffold.testing.guest.GuestFailure: {} did not end within 2 s: {} at deadly.c:{}{}\n"
    lines = {text.partition("/* ")[2].removesuffix(" */"): n for n, text in enumerate(DEADLY.splitlines(), 1)}
    for program, does, mark, more in (
        ("call.c", "its kernel waits", "for ever", ""),
        ("call.c", "its kernel runs", "in the call", ""),
        ("call.c", r"kworker/\S+ runs", "in a worker", ", and does not end either"),
        ("read of /dev/deadly", "its kernel runs", "in a read", ""),
    ):
        wanted = failure.format(re.escape(program), does, lines[mark], more)
        assert len(re.findall(f"(?m)^{wanted}", told)) == 1, wanted
    assert "GuestFailure: the guest did not outlive call.c: its kernel crashed, or hangs" in told
    # Only the one that waits for a lock is run again: what waits is known, and not what keeps the lock.
    again = set(re.findall(r"in a second run the sanitizer saw: (.*)", told))
    taken = 1 + DEADLY.splitlines().index("\t\tmutex_lock(&lock);")
    line = 1 + DEADLY.splitlines().index("\t\tmutex_lock(&lock); /* for ever */")
    assert f"deadly.c:{line}" in told and "deadly_ioctl" in told
    assert again == {
        "WARNING: possible recursive locking detected; the lock was taken at "
        f"deadly.c:{taken} (deadly.c:{line})",
        f"WARNING: lock held when returning (deadly.c:{taken})",
    }
    assert ours(os.environ["XDG_RUNTIME_DIR"]) == []
