"""What the kernel says nothing of: locks that are held or overwritten, callbacks that sleep, memory that the
wrong function frees, objects left in a cache.
"""

from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load import bugs, unfreed
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
    "spun": (
        "static DEFINE_SPINLOCK(taken); /* HERE */",
        "spin_lock(&taken); return 0;",
        "",
        "the spinlock taken is still held",
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
    "\nstatic DEFINE_SPINLOCK(spin); static raw_spinlock_t raw; static void tick(struct timer_list *x) { }",
    "who = current; mutex_init(&thing.lock); mutex_lock(&lock); mutex_lock(&thing.lock); down_write(&both);"
    " up_write(&both); mutex_unlock(&thing.lock); mutex_unlock(&lock);"
    " raw_spin_lock_init(&raw); spin_lock_bh(&spin); raw_spin_lock(&raw); raw_spin_unlock(&raw);"
    " spin_unlock_bh(&spin); timer_setup(&timer, tick, 0); return 0;",
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
        (("kmalloc_trace", "free_pages", "__get_free_pages"), "KS398"),
        (("kmalloc_trace", "kfree", "free_pages", "__get_free_pages"), None),
        (("kmalloc_trace", "__free_pages", "sgl_alloc"), None),
        (("vmalloc", "free_pages"), None),  # whoever gave it these, it was not kmalloc()
        (("__alloc_percpu",), "KS398"),
        (("pcpu_alloc_noprof", "kfree"), "KS398"),
        (("__alloc_percpu", "free_percpu"), None),
        (("__alloc_percpu", "register_netdev"), None),  # the network's core may free it
        (("__alloc_percpu", "_printk", "misc_register", "mutex_lock", "__per_cpu_offset"), "KS398"),
        (("kmalloc_trace", "free_pages", "_printk", "proc_create", "_copy_to_user"), "KS368"),
        # Whatever no list has may give pages, or take memory and free it.
        (("__alloc_percpu", "register_qdisc"), None),
        (("__alloc_percpu", "devm_add_action"), None),
        (("kmalloc_trace", "__free_pages", "cma_alloc"), None),
        (("kmalloc_trace", "free_pages", "kallsyms_lookup_name"), None),
        (("kmalloc_trace", "__free_pages", "some_subsystem_get"), None),
    ],
)
def test_imports_tell_of_memory_that_is_freed_by_the_wrong_function_or_by_none(imports, code):
    def told(**more):
        ko = Ko(imports=dict.fromkeys(imports, 1), **more)
        return [f.code for f in bugs_of(ModuleFile(Path("a.ko"), ko.bytes()), "a", AbsentSandbox())]

    assert told() == ([code] if code else [])
    assert told(depends="other") == told(exports={"mine": ""}) == []


OWNED = [
    (("kmalloc_trace", "_printk"), "", "kfree()"),
    (("__kmalloc_noprof", "kvfree_call_rcu"), "", None),
    (("kasprintf", "misc_register"), "", "kfree()"),
    (("kmalloc_trace", "seq_release_private"), "", None),  # frees what single_open() was given
    (("get_zeroed_page", "mutex_lock"), "", "free_pages()"),
    (("get_free_pages_noprof",), "p = __get_free_pages(GFP_KERNEL, alloc_order);", "free_pages()"),
    (("__kmalloc_cache_noprof",), "p = kmalloc(9, GFP_KERNEL); /* alloc */", "kfree()"),
    (("pcpu_alloc_noprof",), "p = alloc_percpu(int);", "free_percpu()"),
    (("__blk_mq_alloc_disk",), "p = blk_mq_alloc_disk(&set, NULL);", "put_disk()"),
    (("get_zeroed_page", "vm_insert_page"), "", None),  # it goes with the mapping
    (("alloc_netdev_mqs", "register_netdev"), "dev = alloc_netdev(0, n, NET_NAME_ENUM, f);", "free_netdev()"),
    (("alloc_netdev_mqs", "free_netdev"), "dev = alloc_netdev(0, n, NET_NAME_ENUM, f);", None),
    (("alloc_netdev_mqs",), "dev->needs_free_netdev = true;", None),
    (("alloc_netdev_mqs",), None, None),  # without its source nobody knows
    (("crypto_alloc_shash", "crypto_shash_digest"), "", "crypto_destroy_tfm()"),
    (("request_firmware", "_printk"), "", "release_firmware()"),
    (("filp_open", "kernel_read"), "", "filp_close()"),
    (("filp_open", "fd_install"), "", None),
    (("kobject_create_and_add", "kobject_del"), "", "kobject_put()"),
    (("kset_create_and_add", "kobject_put"), "", None),
    (("alloc_workqueue", "queue_work_on"), 'wq = alloc_ordered_workqueue("w", 0);', "destroy_workqueue()"),
    (("find_get_pid", "get_pid_task", "put_pid"), "", "put_task_struct()"),
    (("kern_path", "d_path"), "", "path_put()"),
    (("fget", "vfs_fsync"), "", "fput()"),
    (("prepare_kernel_cred", "override_creds"), "", "revert_creds()"),
    (("prepare_creds", "commit_creds"), "", None),
    (("__kfifo_alloc",), "kfifo_alloc(&fifo, 9, GFP_KERNEL);", "kfifo_free()"),
    (("init_srcu_struct", "cleanup_srcu_struct"), "", None),
]


@pytest.mark.parametrize(("imports", "text", "free"), OWNED)
def test_imports_tell_of_what_is_never_given_back(tmp_path, imports, text, free):
    if text is not None:
        (tmp_path / "a.c").write_text(f"#include <linux/module.h>\n{text}\n")
    ko = tmp_path / "a.ko"

    def told(**more) -> list[tuple[str, str | None]]:
        ko.write_bytes(Ko(imports=dict.fromkeys(imports, 1), **more).bytes())
        found = bugs_of(ModuleFile.open(ko), "a", AbsentSandbox())
        return [(f.text.rpartition("never ")[2], f.where) for f in found if f.code == "KS398"]

    line = "a.c:2" if text and "alloc" in text else None
    assert told() == ([(free, line)] if free else [])
    assert told(depends="other") == told(exports={"mine": ""}) == []


def test_the_sanitizer_s_copy_leaves_memory_to_the_sanitizer(tmp_path):
    ko = tmp_path / "a.ko"
    ko.write_bytes(Ko(imports={"ks___kmalloc": 1, "crypto_alloc_shash": 1}).bytes())
    (found,) = bugs_of(ModuleFile.open(ko), "a", AbsentSandbox())
    assert "crypto_destroy_tfm()" in found.text


def test_each_maker_is_looked_for():
    makers = [name for pair in unfreed._PAIRS for name in pair.makers]
    assert [n for n in makers if not any(part in n for part in bugs._PARTS_OF_MAKERS)] == []


def test_an_urb_may_be_of_a_module_that_needs_usbcore():
    ko = Ko("mine", imports={"usb_alloc_urb": 1}, depends="usbcore")
    (found,) = bugs_of(ModuleFile(Path("mine.ko"), ko.bytes()), "mine", AbsentSandbox())
    assert found.text == "likely: mine calls usb_alloc_urb(), and never usb_free_urb()"


@pytest.mark.kernel
def test_the_kernels_own_modules_are_not_accused():
    """They give back what they take: file systems, drivers of networks and disks, algorithms."""
    kernel = need_kernel("6.1")
    assert kernel.modules is not None
    found = [p for part in ("crypto", "drivers", "fs") for p in kernel.modules.glob(f"kernel/{part}/**/*.ko")]
    assert len(found) > 200
    for path in found:
        assert not [
            f for f in bugs_of(ModuleFile.open(path), path.stem, AbsentSandbox()) if f.code == "KS398"
        ]
