"""Little memory that each load keeps, found by loads that are repeated in one guest."""

import pytest

from kscaffold.diagnosis.residue.compare import Part
from kscaffold.diagnosis.residue.growth import growth
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

SLABS = (
    "kmalloc-512 {} 900 512 8 1 : tunables\nkmalloc-cg-512 7 8 512 8 1 : tunables\nkmalloc-8k {} 9 8192 4\n"
)
MEMORY = "MemTotal: 200000 kB\nMemFree: {} kB\nSUnreclaim: 100 kB\n"


def parts(objects: int, pages: int) -> list[Part]:
    """What differs after so many more objects of 512 bytes and pages."""
    return [
        Part("/proc/slabinfo", SLABS.format(5, 2), SLABS.format(5 + objects, 2)),
        Part("/proc/meminfo", MEMORY.format(90000), MEMORY.format(90000 - 4 * pages)),
    ]


@pytest.mark.parametrize(
    ("half", "whole", "told"),
    [
        ((0, 0), (0, 0), []),
        ((16, 0), (32, 0), ["up to 512 bytes a load (32 objects of kmalloc-512 in 32 loads)"]),
        ((32, 0), (64, 0), ["up to 2 x 512 bytes a load (64 objects of kmalloc-512 in 32 loads)"]),
        ((42, 0), (42, 0), []),  # a slab that the kernel took once
        ((42, 0), (84, 0), []),  # twice
        ((0, 16), (0, 32), ["4 KB a load"]),
        ((0, 20), (0, 22), []),
    ],
)
def test_only_what_grows_with_each_load_is_told(half, whole, told):
    assert [r.name for r in growth(parts(*half), parts(*whole), 32)] == told


LARGE = "MemTotal: 200000 kB\nMemFree: {} kB\nSlab: {} kB\nSUnreclaim: {} kB\n"
CACHE = "kmalloc-512 5 16 512 8 1 : tunables 0 0 0 : slabdata {0} {0} 0\n"


@pytest.mark.parametrize(
    ("more", "caches", "told"), [(64, 0, ["8 KB a load"]), (64, 16, []), (64, 8, ["4 KB a load"])]
)
def test_slab_memory_that_no_cache_has_is_told(more, caches, told):
    """By so many KB in 8 loads, of which the caches took so many pages."""

    def after(times: int) -> list[Part]:
        kb = more * times // 2
        return [
            Part(
                "/proc/meminfo", LARGE.format(90000, 500, 400), LARGE.format(90000 - kb, 500 + kb, 400 + kb)
            ),
            Part("/proc/slabinfo", CACHE.format(10), CACHE.format(10 + caches * times // 2)),
        ]

    assert [r.name for r in growth(after(1), after(2), 8)] == told


SOURCE = """#include <linux/module.h>
#include <linux/slab.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("keeps three hundred bytes, or does not");
static bool tidy;
module_param(tidy, bool, 0444);
static int size = 300;
module_param(size, int, 0444);
static void *volatile kept;
static int __init enter(void)
{
	kept = kmalloc(size, GFP_KERNEL);
	return kept ? 0 : -ENOMEM;
}
static void __exit leave(void)
{
	if (tidy)
		kfree(kept);
}
module_init(enter);
module_exit(leave);
"""


@pytest.mark.kernel
@pytest.mark.sandbox
def test_three_hundred_bytes_a_load_are_named(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    monkeypatch.chdir(tmp_path)
    write(tmp_path, Kbuild="obj-m := keeps.o\n", keeps__c=SOURCE)
    assert ks("run", "--json").json["clean"] is True
    told = ks("run", "--repeat", "2", "--json")
    assert told.status == 1
    first, last = told.json["results"]
    assert first["residue"] == [] and first["clean"] is True and last["clean"] is False
    assert last["residue"] == [
        {
            "kind": "memory",
            "name": "up to 512 bytes a load (32 objects of kmalloc-512 in 32 loads)",
            "where": "keeps.c:12",
        }
    ]
    assert last["code"] == "KS398" and "--sanitize" in last["fix"]
    assert ks("run", "--repeat", "2", "--allow", "KS398").status == 0
    assert ks("run", "--repeat", "2", "tidy=1").status == 0
    # What is beyond the largest cache is in none.
    big = ks("run", "--repeat", "2", "size=20000", "--json").json["results"][1]
    assert [(left["name"], left["where"]) for left in big["residue"]] == [("32 KB a load", "keeps.c:12")]
    assert ks("run", "--repeat", "2", "size=20000", "tidy=1").status == 0
