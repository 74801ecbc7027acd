"""The helper itself: no memory for its own record, and two inits that run at the same time."""

import shutil
from pathlib import Path

import pytest

from kscaffold.instrument.copies import instrumented
from kscaffold.instrument.sandbox import InstrumentedSandbox
from kscaffold.load.plan import plan_loads
from kscaffold.load.request import Instruments, LoadRequest
from kscaffold.progress import SILENT
from tests.support.kernels import need_kernel
from tests.support.projects import write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

# Takes all the memory there is, and gives all of it back: nothing of it is leaked, whatever the helper noted.
STARVED = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#define HUNGRY (GFP_ATOMIC | __GFP_NOWARN)
#define ENOUGH 64

struct block {
\tstruct block *next;
\tunsigned int order;
};
static struct block *objects, *pages;

static unsigned long take(size_t size)
{
\tunsigned long count = 0;
\tint failed = 0;

\twhile (failed < ENOUGH) {
\t\tstruct block *block = kmalloc(size, HUNGRY);

\t\tif (!block) {
\t\t\tfailed++;
\t\t\tcontinue;
\t\t}
\t\tblock->next = objects;
\t\tobjects = block;
\t\tcount++;
\t}
\treturn count;
}

static unsigned long take_pages(unsigned int order)
{
\tunsigned long count = 0, at;

\twhile ((at = __get_free_pages(HUNGRY, order))) {
\t\tstruct block *block = (void *)at;

\t\tblock->next = pages;
\t\tblock->order = order;
\t\tpages = block;
\t\tcount++;
\t}
\treturn count;
}

static int __init starved_init(void)
{
\tunsigned long few, single, pairs;

\ttake(8000);
\tpairs = take_pages(1);
\tsingle = take_pages(0);
\tfew = take(64);
\twhile (pages) {
\t\tstruct block *block = pages;

\t\tpages = block->next;
\t\tfree_pages((unsigned long)block, block->order);
\t}
\twhile (objects) {
\t\tstruct block *block = objects;

\t\tobjects = block->next;
\t\tkfree(block);
\t}
\tpr_info("pages %lu and %lu, objects %lu\\n", pairs, single, few);
\treturn few ? 0 : -EINVAL;
}

static void __exit starved_exit(void)
{
}

module_init(starved_init);
module_exit(starved_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("takes all memory");
"""


def test_without_memory_for_its_record_it_is_silent_and_says_so(ks, tmp_path: Path):
    here = write(tmp_path / "starved", starved__c=STARVED, Kbuild="obj-m := starved.o\n")
    release = need_kernel("6.1").release
    ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", here, "--timeout", "60")
    assert ran.json["verdict"] == "loaded", ran.err
    assert (ran.json["sanitizer"]["reports"], ran.json["complaints"]) == ([], [])
    assert ran.status == 0
    (unseen,) = ran.json["sanitizer"]["unseen"]
    number, _, words = unseen["what"].partition(" ")
    assert int(number) > 0 and words == "allocations, for which the record had no memory"


# Allocates, sleeps and frees beside another, and loses one object.
BESIDE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

static DEFINE_MUTEX(mine);
static char table[32];
static char *lost;

static int __init NAME_init(void)
{
\tint i, j;

\tlost = kmalloc(SIZE, GFP_KERNEL);
\tfor (i = 0; i < 100; i++) {
\t\tchar *p[32];

\t\tmutex_lock(&mine);
\t\tfor (j = 0; j < 32; j++) {
\t\t\tp[j] = kzalloc(8 + j, GFP_KERNEL);
\t\t\ttable[j] = p[j] ? p[j][7 + j] : 0;
\t\t}
\t\tfor (j = 0; j < 32; j++)
\t\t\tkfree(p[j]);
\t\tmutex_unlock(&mine);
\t\tusleep_range(500, 1000);
\t}
\treturn 0;
}

static void __exit NAME_exit(void)
{
}

module_init(NAME_init);
module_exit(NAME_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("is loaded beside another");
"""
# Prints, for both, when the call began and ended: that they overlapped is not left to chance.
LOADER = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void)
{
\tstruct timespec t;

\tclock_gettime(CLOCK_MONOTONIC, &t);
\treturn t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int count, char **words)
{
\tfor (int i = 1; i < count; i++)
\t\tif (!fork()) {
\t\t\tlong began = now(), error = syscall(SYS_finit_module, open(words[i], O_RDONLY), "", 0);

\t\t\tprintf("%ld %ld %ld\\n", error, began, now());
\t\t\tfflush(stdout);
\t\t\t_exit(0);
\t\t}
\twhile (wait(NULL) > 0)
\t\t;
\treturn 0;
}
"""


def test_two_inits_at_the_same_time(ks, tmp_path: Path):
    names = {"left": "40", "right": "72"}
    sources = {
        f"{name}__c": BESIDE.replace("NAME", name).replace("SIZE", size) for name, size in names.items()
    }
    kbuild = "".join(f"obj-m += {name}.o\n" for name in names)
    here = write(tmp_path / "beside", Kbuild=kbuild, **sources)
    loader = tmp_path / "loader.c"
    loader.write_text(LOADER)
    kernel = need_kernel("6.1")
    assert ks("build", "--kernel", kernel.release, "-C", here).status == 0
    hello = here / "left.ko"
    plan = plan_loads(LoadRequest(here), kernel, SILENT)
    copies = instrumented(plan, kernel, Instruments(sanitize=True), SILENT)
    with InstrumentedSandbox(kernel, Instruments(sanitize=True)) as sandbox:
        # The helper comes with the first module.
        assert sandbox.load(hello).ok and sandbox.unload("left").ok
        before = len(sandbox.findings())
        there = [shutil.copy(ko.path, tmp_path / f"{ko.module}-copy.ko") for ko in copies.plan.kos]
        done = sandbox.exec(
            loader, *(Path("/") / Path(t).name for t in there), copy=[f"{t}:/" for t in there]
        )
        calls = [tuple(map(int, line.split())) for line in done.stdout.decode().splitlines()]
        assert [error for error, _, _ in calls] == [0, 0], done
        assert max(began for _, began, _ in calls) < min(ended for _, _, ended in calls)
        assert sandbox.unload("left").ok and sandbox.unload("right").ok
        found = [
            (f.report.kind, f.report.memory.size) for f in sandbox.findings()[before:] if f.report.memory
        ]
    assert before == 1 and sorted(found) == [("memory-leak", 40), ("memory-leak", 72)]
