"""Modules that leave something in the kernel when they go, one thing each, and their healthy twins.

`call` is the line that makes it, and `undo` the one that their exit forgets; a twin has it. The names of
files begin with `lv_`.
"""

import functools
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv
from tests.zoo.sources import WITHOUT_LINES

_TEMPLATE = """// SPDX-License-Identifier: GPL-2.0
#include <linux/cdev.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/etherdevice.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/netfilter_ipv4.h>
#include <linux/platform_device.h>
#include <linux/proc_fs.h>
#include <linux/reboot.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define new_class(name) class_create(THIS_MODULE, name)
#else
#define new_class(name) class_create(name)
#endif
{top}
static int __init {name}_init(void)
{{
	{call}
	{rest}
}}
static void __exit {name}_exit(void) {{ {undo} }}
module_init({name}_init);
module_exit({name}_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("of the zoo");
"""
CALL_LINE = _TEMPLATE[: _TEMPLATE.index("{call}")].count("\n")
"""Lines before that of the call, `top` counted as one."""


@dataclass(frozen=True)
class Leaver:
    """One module. `kind`, `name`: of the residue; `name` is what its name begins with. `unmade`: machines
    where the call makes nothing, or the kernel tells of nothing.
    """

    kind: str
    name: str
    top: str
    call: str
    undo: str
    rest: str = "return 0;"
    unmade: tuple[str, ...] = ()

    @property
    def line(self) -> int:
        """The line of the call."""
        return CALL_LINE + 1 + self.top.count("\n")


_SHOW = "static int show(struct seq_file *m, void *v) { return 0; } static struct proc_dir_entry *e;"
_FOPS = "static const struct file_operations fops = { .owner = THIS_MODULE };"
_LOOP = (
    "static struct task_struct *t;"
    " static int round(void *x) { for (;;) { set_current_state(TASK_INTERRUPTIBLE);"
    " if (kthread_should_stop()) break; schedule_timeout(3600 * HZ); }"
    " __set_current_state(TASK_RUNNING); return 0; }"
)

# Kernels whose memory nobody can look through: they have no /proc/kcore.
_BLIND = ("armhf",)

LEAVERS = {
    "proc": Leaver(
        "proc", "lv_proc", _SHOW, 'e = proc_create_single("lv_proc", 0444, NULL, show);', "proc_remove(e);"
    ),
    "procdir": Leaver("proc", "lv_dir", _SHOW, 'e = proc_mkdir("lv_dir", NULL);', "proc_remove(e);"),
    "sysfs": Leaver(
        "sysfs",
        "/sys/kernel/lv_kobj",
        "static struct kobject *k;",
        'k = kobject_create_and_add("lv_kobj", kernel_kobj);',
        "kobject_put(k);",
    ),
    "debugfs": Leaver(
        "debugfs",
        "lv_debug",
        "static struct dentry *d;",
        'd = debugfs_create_dir("lv_debug", NULL);',
        "debugfs_remove_recursive(d);",
    ),
    "chrdev": Leaver(
        "chrdev",
        "lv_numbers (",
        "static dev_t d;",
        'int error = alloc_chrdev_region(&d, 0, 1, "lv_numbers");',
        "unregister_chrdev_region(d, 1);",
        "return error;",
    ),
    "misc": Leaver(
        "misc",
        "lv_misc",
        _FOPS + ' static struct miscdevice m = { MISC_DYNAMIC_MINOR, "lv_misc", &fops };',
        "int error = misc_register(&m);",
        "misc_deregister(&m);",
        "return error;",
    ),
    "class": Leaver(
        "class", "lv_class", "static struct class *c;", 'c = new_class("lv_class");', "class_destroy(c);"
    ),
    "device": Leaver(
        "device",
        "lv_device",
        "static struct device *d;",
        'd = root_device_register("lv_device");',
        "root_device_unregister(d);",
    ),
    "platform": Leaver(
        "device",
        "lv_platform",
        "static struct platform_device *p;",
        'p = platform_device_register_simple("lv_platform", -1, NULL, 0);',
        "platform_device_unregister(p);",
    ),
    "netdev": Leaver(
        "netdev",
        "lv_net",
        "static struct net_device *n; static netdev_tx_t lv_xmit(struct sk_buff *s, struct net_device *d)"
        " { dev_kfree_skb(s); return NETDEV_TX_OK; }"
        " static const struct net_device_ops ops = { .ndo_start_xmit = lv_xmit };",
        'int error; n = alloc_etherdev(0); n->netdev_ops = &ops; strcpy(n->name, "lv_net0");'
        " error = register_netdev(n);",
        "unregister_netdev(n); free_netdev(n);",
        "return error;",
    ),
    "thread": Leaver(
        "thread",
        "lv_thread",
        _LOOP,
        't = kthread_run(round, NULL, "lv_thread");',
        "kthread_stop(t);",
        "msleep(20); return PTR_ERR_OR_ZERO(t);",
    ),
    "workqueue": Leaver(
        "thread",
        "lv_queue",
        "static struct workqueue_struct *q;",
        'q = alloc_workqueue("lv_queue", WQ_MEM_RECLAIM, 1);',
        "destroy_workqueue(q);",
    ),
    "slab": Leaver(
        "slab",
        "lv_cache",
        "static struct kmem_cache *c; static void made(void *o) { }",
        'c = kmem_cache_create("lv_cache", 72, 0, 0, made);',
        "kmem_cache_destroy(c);",
    ),
    "vmalloc": Leaver(
        "vmalloc", "2 MB", "static void *p;", "p = vmalloc(2 << 20);", "vfree(p);", "return p ? 0 : -ENOMEM;"
    ),
    "pages": Leaver(
        "memory",
        "19 MB",
        "static void *p[19]; static int i;",
        "for (i = 0; i < 19; i++) p[i] = kmalloc(1 << 20, GFP_KERNEL);",
        "for (i = 0; i < 19; i++) kfree(p[i]);",
    ),
    "objects": Leaver(
        "memory",
        "",
        "static void *p[16384]; static int i;",
        "for (i = 0; i < 16384; i++) p[i] = kmalloc(64, GFP_KERNEL);",
        "for (i = 0; i < 16384; i++) kfree(p[i]);",
    ),
    "irq": Leaver(
        "interrupt",
        "",
        "#include <linux/irq.h>\nstatic irqreturn_t handle(int n, void *d) { return IRQ_NONE; }"
        "\nstatic int id, n; static int take(void) {"
        "\nn = __irq_alloc_descs(-1, 1, 1, NUMA_NO_NODE, NULL, NULL);"
        "\nirq_set_chip_and_handler(n, &dummy_irq_chip, handle_simple_irq); return n; }",
        'int error = take() < 0 ? -ENOSPC : request_irq(n, handle, 0, "lv_irq", &id);',
        "free_irq(n, &id); irq_free_descs(n, 1);",
        "return error;",
    ),
    "ports": Leaver(
        "ioport",
        "lv_ports",
        "static struct resource *r;",
        'r = request_region(0x5000, 8, "lv_ports");',
        "release_region(0x5000, 8);",
        unmade=("s390x",),  # it has no such ports (IO_SPACE_LIMIT)
    ),
    "region": Leaver(
        "iomem",
        "lv_region",
        "static struct resource *r;",
        'r = request_mem_region(0xfd000000, 4096, "lv_region");',
        "release_mem_region(0xfd000000, 4096);",
    ),
    "filesystem": Leaver(
        "filesystem",
        "lv_fs",
        'static struct file_system_type f = { .name = "lv_fs", .owner = THIS_MODULE };',
        "int error = register_filesystem(&f);",
        "unregister_filesystem(&f);",
        "return error;",
    ),
    "sysctl": Leaver(
        "sysctl",
        "lv_sysctl",
        "static int v; static struct ctl_table t[] = {"
        ' { .procname = "lv_value", .data = &v, .maxlen = sizeof(v),'
        " .mode = 0644, .proc_handler = proc_dointvec },"
        "\n#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)\n{ }\n#endif\n};"
        " static struct ctl_table_header *h;",
        'h = register_sysctl("lv_sysctl", t);',
        "unregister_sysctl_table(h);",
    ),
    "notifier": Leaver(
        "callback",
        "lv_block",
        "static int hear(struct notifier_block *n, unsigned long what, void *d) { return NOTIFY_DONE; }"
        " static struct notifier_block lv_block = { .notifier_call = hear };",
        "int error = register_reboot_notifier(&lv_block);",
        "unregister_reboot_notifier(&lv_block);",
        "return error;",
        unmade=_BLIND,
    ),
    "minors": Leaver(
        "chrdev",
        "lv_minors (",
        "static dev_t d;",
        'int error = alloc_chrdev_region(&d, 0, 4, "lv_minors");',
        "unregister_chrdev_region(d, 4);",
        "return error;",
    ),
    "driver": Leaver(
        "driver",
        "lv_driver",
        'static struct platform_driver p = { .driver = { .name = "lv_driver" } };',
        "int error = platform_driver_register(&p);",
        "platform_driver_unregister(&p);",
        "return error;",
    ),
    "hook": Leaver(
        "callback",
        "lv_hear",
        "static unsigned int lv_hear(void *p, struct sk_buff *s, const struct nf_hook_state *t)"
        " { return NF_ACCEPT; }"
        " static const struct nf_hook_ops o = { .hook = lv_hear, .pf = NFPROTO_IPV4 };",
        "int error = nf_register_net_hook(&init_net, &o);",
        "nf_unregister_net_hook(&init_net, &o);",
        "return error;",
        unmade=_BLIND,
    ),
}

_PLACES: list[Path] = []


@functools.cache
def built_leavers(kernel: Kernel) -> Path:
    """A directory with `leave_NAME.ko` and its twin `clean_NAME.ko` of each, and their sources."""
    place = Path(tempfile.mkdtemp(prefix="ks-leavers-"))
    _PLACES.append(place)
    for name, each in LEAVERS.items():
        (place / f"leave_{name}.c").write_text(_source(f"leave_{name}", each, ""))
        (place / f"clean_{name}.c").write_text(_source(f"clean_{name}", each, each.undo))
    objects = " ".join(f"leave_{name}.o clean_{name}.o" for name in LEAVERS)
    (place / "Kbuild").write_text(f"ccflags-y := -Wno-unused\nobj-m := {objects}\n")
    assert kernel.build is not None
    tree = read_tree(kernel.build, kernel.arch)
    argv = [*make_argv(place, tree, toolchain(tree), "modules", jobs=2), WITHOUT_LINES]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def _source(name: str, each: Leaver, undo: str) -> str:
    text = _TEMPLATE.format(name=name, undo=undo, top=each.top, call=each.call, rest=each.rest)
    if re.search(r"net_|netdev|NF_", text):
        return text
    # A third of a compiler's time; the lines stay where they are.
    return re.sub(r"(?m)^#include <linux/(?:etherdevice|netdevice|netfilter_ipv4)\.h>$", "", text)


def remove_leavers() -> None:
    """The directories of all kernels."""
    for place in _PLACES:
        shutil.rmtree(place, ignore_errors=True)
    _PLACES.clear()
    built_leavers.cache_clear()
