"""Pointers to a module in memory that nobody owns any more are no callback that was left behind."""

from pathlib import Path

import pytest

from tests.support.kernels import need_kernel
from tests.support.projects import write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

# A thread that ends by itself, so that the kernel's objects are looked into after the unload; and many small
# objects full of pointers to functions and variables, all freed, in caches that the kernel uses, too.
STALE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>

#define EACH 3000

static DECLARE_COMPLETION(done);
static void **objects[EACH * 5];

static int threaded(void *unused)
{
\tcomplete(&done);
\treturn 0;
}

static void fill(void **object, size_t size)
{
\tsize_t i;

\tfor (i = 0; i < size / sizeof(*object); i++)
\t\tobject[i] = i & 1 ? (void *)threaded : (void *)objects;
}

static int __init stale_init(void)
{
\tstatic const size_t sizes[] = { 16, 32, 64, 96, 192 };
\tint i, j;

\tfor (i = 0; i < ARRAY_SIZE(sizes); i++)
\t\tfor (j = 0; j < EACH; j++) {
\t\t\tvoid **object = kmalloc(sizes[i], GFP_KERNEL);

\t\t\tif (object)
\t\t\t\tfill(object, sizes[i]);
\t\t\tobjects[i * EACH + j] = object;
\t\t}
\tfor (i = 0; i < ARRAY_SIZE(objects); i++)
\t\tkfree(objects[i]);
\treturn PTR_ERR_OR_ZERO(kthread_run(threaded, NULL, "stale"));
}

static void __exit stale_exit(void)
{
\twait_for_completion(&done);
\tmsleep(50);
}

module_init(stale_init);
module_exit(stale_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("leaves nothing but what nobody reads");
"""


@pytest.mark.parametrize("series", ["6.1", "5.10", "6.12"])
def test_freed_memory_points_to_nobody(ks, tmp_path: Path, series: str):
    here = write(tmp_path / "stale", stale__c=STALE, Kbuild="obj-m := stale.o\n")
    ran = ks("run", "--json", "--repeat", "3", "--kernel", need_kernel(series).release, "-C", here)
    assert [(r["residue"], r["clean"]) for r in ran.json["results"]] == [([], True)] * 3
    assert ran.status == 0, ran.err
