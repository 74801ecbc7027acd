"""What the kernel says nothing of: locks that are held or overwritten, callbacks that sleep, memory that the
wrong function frees, objects left in a cache.
"""

from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.bugs import bugs_of
from kscaffold.targets.absent import AbsentSandbox
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.support.projects import write

HEAD = """#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/timer.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("is wrong, and nothing happens");
"""
ENDS = """static int __init enter(void) {{ {init} }}
static void __exit leave(void) {{ {exit} }}
module_init(enter);
module_exit(leave);
"""
# Of each: what stands before init, init and exit, and what is said. `HERE` is the line told.
WRONG = {
    "held": (
        "static struct { int a; struct mutex lock; } thing; /* HERE */",
        "mutex_init(&thing.lock); mutex_lock(&thing.lock); return 0;",
        "",
        "the lock thing is still held",
    ),
    "heldrw": (
        "static DECLARE_RWSEM(both); /* HERE */",
        "down_write(&both); return 0;",
        "",
        "the lock both is still held",
    ),
    "cleared": (
        "static DEFINE_MUTEX(lock); /* HERE */",
        "memset(&lock, 0, sizeof(lock)); mutex_lock(&lock); mutex_unlock(&lock); return 0;",
        "",
        "the lock lock was overwritten",
    ),
    "ticker": (
        "static DEFINE_MUTEX(lock);\nstatic struct timer_list t;\nstatic void tick(struct timer_list *x)\n{\n"
        "\tmutex_lock(&lock); /* HERE */\n\tmutex_unlock(&lock);\n}",
        "timer_setup(&t, tick, 0); return 0;",
        "",
        "tick() is called by a timer, and calls mutex_lock(), which may sleep",
    ),
    "thing": (
        "static struct kmem_cache *c; static void *kept;",
        'c = kmem_cache_create("bugs_of_mine", 128, 0, 0, NULL);'
        " kept = c ? kmem_cache_alloc(c, GFP_KERNEL) : NULL; return kept ? 0 : -ENOMEM;",
        "kmem_cache_destroy(c);",
        "bugs_of_mine",
    ),
}
RIGHT = (
    "static struct { int a; struct mutex lock; } thing;\nstatic DEFINE_MUTEX(lock);"
    "\nstatic DECLARE_RWSEM(both); static struct task_struct *who; static struct timer_list timer;"
    "\nstatic void tick(struct timer_list *x) { }",
    "who = current; mutex_init(&thing.lock); mutex_lock(&lock); mutex_lock(&thing.lock); down_write(&both);"
    " up_write(&both); mutex_unlock(&thing.lock); mutex_unlock(&lock);"
    " timer_setup(&timer, tick, 0); return 0;",
    "mutex_lock(&lock); mutex_unlock(&lock);",
)


def line_of(text: str) -> int:
    return text.partition("HERE")[0].count("\n") + 1


@pytest.mark.sandbox
@pytest.mark.kernel
def test_each_is_told_with_its_line_and_a_right_module_is_clean(ks, tmp_path, monkeypatch):
    release = need_kernel("6.12").release
    texts = {}
    for name, (top, init, end, *_) in {**WRONG, "right": RIGHT}.items():
        texts[name] = HEAD + top + "\n" + ENDS.format(init=init, exit=end)
    objects = "".join(f"obj-m += {name}.o\n" for name in texts)
    write(tmp_path, Kbuild=objects, **{f"{name}__c": text for name, text in texts.items()})
    monkeypatch.chdir(tmp_path)
    ran = ks("run", "-k", release)
    assert ran.status == 1
    assert not any("right" in line for line in ran.out.splitlines() if "complaint" in line), ran.out
    for name, (*_, said) in WRONG.items():
        assert said in ran.out, ran.out
        if "HERE" in texts[name]:
            assert f"at {name}.c:{line_of(texts[name])}" in ran.out, ran.out


@pytest.mark.parametrize(
    ("imports", "code"),
    [
        (("kmalloc_trace", "free_pages"), "KS368"),
        (("__kmalloc_noprof", "__free_pages", "kfree"), "KS368"),
        (("kmalloc_trace", "free_pages", "__get_free_pages"), None),
        (("kmalloc_trace", "__free_pages", "sgl_alloc"), None),
        (("vmalloc", "free_pages"), None),  # whoever gave it these, it was not kmalloc()
        (("__alloc_percpu",), "KS398"),
        (("pcpu_alloc_noprof", "kfree"), "KS398"),
        (("__alloc_percpu", "free_percpu"), None),
        (("__alloc_percpu", "register_netdev"), None),  # the network's core may free it
    ],
)
def test_imports_tell_of_memory_that_is_freed_by_the_wrong_function_or_by_none(imports, code):
    def told(**more):
        ko = Ko(imports=dict.fromkeys(imports, 1), **more)
        return [f.code for f in bugs_of(ModuleFile(Path("a.ko"), ko.bytes()), "a", AbsentSandbox())]

    assert told() == ([code] if code else [])
    assert told(depends="other") == told(exports={"mine": ""}) == []
