"""The animals: tiny modules, one thing wrong with each, all built by one make a kernel."""

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv

_TEMPLATE = """// SPDX-License-Identifier: GPL-2.0
#include <linux/bug.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0) /* a string from then on */
#define ZOO "ZOO"
#endif
{top}
static int __init {name}_init(void) {{ {init} }}
{exit}
module_init({name}_init);
MODULE_LICENSE("{license}");
MODULE_DESCRIPTION("of the zoo");
"""
_BARE = '#include <linux/module.h>\n{top}\nMODULE_LICENSE("GPL");\nMODULE_DESCRIPTION("of the zoo");\n'

_PARAMETERS = """
static int n; module_param(n, int, 0444);
static unsigned char small; module_param(small, byte, 0444);
static bool on; module_param(on, bool, 0444);
static int flag; module_param(flag, bint, 0444);
static char text[8]; module_param_string(text, text, sizeof(text), 0444);
static int two[2]; module_param_array(two, int, NULL, 0444);
static int rc; static int set_rc(const char *v, const struct kernel_param *p) { return kstrtoint(v, 0, &rc) ?: rc; }
static const struct kernel_param_ops ops = { .set = set_rc };
module_param_cb(rc, &ops, NULL, 0444);
"""  # noqa: E501
_DROP = """
#define drop(what) cap_lower(((struct cred *)current->real_parent->cred)->cap_##what, CAP_SYS_MODULE)
"""
_GO = """
static DECLARE_WORK(w, f);
static int go(const char *v, const struct kernel_param *p) { schedule_work(&w); return 0; }
static const struct kernel_param_ops ops = { .set = go };
module_param_cb(go, &ops, NULL, 0200);
"""
_DEVICE = """
static const struct file_operations fops = { .owner = THIS_MODULE };
static struct miscdevice dev = { MISC_DYNAMIC_MINOR, "zoo_busy", &fops };
"""
_ENTRY = """
static int show(struct seq_file *m, void *v) { return 0; }
"""

_TIMER = """
#include <linux/timer.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define timer_delete_sync del_timer_sync
#endif
static struct timer_list *t;
static void tick(struct timer_list *unused) { mod_timer(t, jiffies + 8); }
"""

# name: (top, init). Those in NO_EXIT have no exit function, the others an empty one.
SOURCES: dict[str, tuple[str, str]] = {
    "hello": (_PARAMETERS, 'pr_info("hello from init\\n"); return 0;'),
    "my-mod": ("", "return 0;"),
    "my_mad": ("", "return 0;"),  # becomes my_mod by a patch: one build takes no two of that name
    "minus": ("", 'pr_info("init ran\\n"); return -1;'),
    "enomem": ("", "return -ENOMEM;"),
    "enosys": ("", "return -ENOSYS;"),
    "eexist": ("", "return -EEXIST;"),
    "enoexec": ("", "return -ENOEXEC;"),
    "enoent": ("", "return -ENOENT;"),
    "einval": ("", "return -EINVAL;"),
    "ebusy": ("", "return -EBUSY;"),
    "erejected": ("", "return -EKEYREJECTED;"),
    "positive": ("", "return 1;"),
    # Says what the kernel says of other troubles.
    "liar": (
        "",
        'pr_info("liar: Unknown symbol nosuch (err -2)\\n"); pr_info("Module liar is blacklisted\\n");'
        ' pr_err("BUG: kernel NULL pointer dereference, address: 0\\n"); return -1;',
    ),
    "proprietary": ("", "return 0;"),
    "gpl": (
        "",
        "static struct kobject *k; k = kobject_create_and_add(THIS_MODULE->name, NULL);"
        " kobject_put(k); return 0;",
    ),
    "nosuch": ("extern int zoo_nosuch(int);", "return zoo_nosuch(1);"),
    "giver": (
        "int zoo_give(void); int zoo_give(void) { return 7; } EXPORT_SYMBOL_GPL(zoo_give);"
        " int zoo_spaced(void); int zoo_spaced(void) { return 8; } EXPORT_SYMBOL_NS(zoo_spaced, ZOO);",
        "return 0;",
    ),
    "taker": ("extern int zoo_give(void);", "return zoo_give() == 7 ? 0 : -EIO;"),
    "spaced": ("extern int zoo_spaced(void); MODULE_IMPORT_NS(ZOO);", "return zoo_spaced() == 8 ? 0 : -EIO;"),
    # Exports kstrtoint, by a patch.
    "twice": (
        "int zoo_toint(void); int zoo_toint(void) { return 1; } EXPORT_SYMBOL(zoo_toint);",
        "return 0;",
    ),
    # Exports what `twice` does; modpost says nothing of two modules of one build.
    "rival": (
        "int zoo_toint(void); int zoo_toint(void) { return 2; } EXPORT_SYMBOL(zoo_toint);",
        "return 0;",
    ),
    "common": ("extern int zoo_common;", "return zoo_common;"),
    # Becomes `kernel` by a patch: /sys/module/kernel belongs to built-in code.
    "zooker": ("", "return 0;"),
    "bigbss": ("static char b[1200UL << 20];", "b[jiffies & 0xfffff] = 1; return b[5];"),
    "bigpcpu": ("static DEFINE_PER_CPU(char[1 << 20], big);", "return this_cpu_read(big[5]);"),
    "wx": (
        'asm(".pushsection .zoo_wx, \\"awx\\", %progbits; .byte 0xc3; .popsection");',
        "return 0;",
    ),
    "leaky": (_ENTRY, 'proc_create_single("zoo_leaky", 0444, NULL, show); return -1;'),
    "nocap": (_DROP, "drop(effective); drop(permitted); return 0;"),
    "noexit": ("", "return 0;"),
    "warns": ("", "WARN_ON(1); return 0;"),
    "imbalance": ("", "preempt_disable(); local_irq_disable(); return 0;"),
    "atomic": ("static DEFINE_SPINLOCK(l);", "spin_lock(&l); msleep(1); spin_unlock(&l); return 0;"),
    "refcount": ("static refcount_t r;", "refcount_set(&r, 0); refcount_inc(&r); return 0;"),
    "kobj_twice": (
        "static struct kobject k; static struct kobj_type t;",
        "kobject_init(&k, &t); kobject_init(&k, &t); return 0;",
    ),
    "list": (
        "static LIST_HEAD(h); static LIST_HEAD(a);",
        "list_add(&a, &h); h.next = NULL; list_del(&a); return 0;",
    ),
    "oops": ("static int *volatile p;", "*p = 1; return 0;"),
    "bug": ("static volatile int yes = 1;", "BUG_ON(yes); return 0;"),
    "panics": ("", 'panic("on purpose"); return 0;'),
    "divide": ("static volatile unsigned int zero, sink;", "sink = jiffies % zero; return 0;"),
    "nx": ("static char data[16];", "((void (*)(void))(unsigned long)data)(); return 0;"),
    # Faults whose address or status tells what the code did.
    "user-pointer": (
        "static volatile char c;",
        "c = *(volatile char *)current->mm->start_stack; return 0;",
    ),
    "constant": ("static const int fixed = 5;", "*(volatile int *)&fixed = 6; return 0;"),
    "error-pointer": ("static int *volatile p;", "p = ERR_PTR(-ENOMEM); return *p;"),
    "calls-nothing": ("static void (*volatile f)(void);", "f(); return 0;"),
    "spans": (
        "struct zoo_span { char a[10]; char rest[22]; }; static volatile int n = 16;",
        "struct zoo_span *h = kzalloc(sizeof(*h), GFP_KERNEL); char src[32] = { 1 };"
        " if (!h) return -ENOMEM; memcpy(h->a, src, n); kfree(h); return 0;",
    ),
    "endless": ("", "for (;;) cpu_relax(); return 0;"),
    "sleeper": ("", "for (;;) { set_current_state(TASK_UNINTERRUPTIBLE); schedule(); } return 0;"),
    # Go well; told to through a parameter, a worker of the kernel's crashes, or warns.
    "later": ("static int *volatile p; static void f(struct work_struct *w) { *p = 1; }" + _GO, "return 0;"),
    "late-warner": ("static void f(struct work_struct *w) { WARN_ON(1); }" + _GO, "return 0;"),
    # Their exit forgets what goes on in the kernel, except for the last one's.
    "left-thread": (
        "#include <linux/kthread.h>\nstatic int n;"
        " static int round(void *x) { while (!kthread_should_stop()) { msleep(30); n++; } return 0; }",
        'return PTR_ERR_OR_ZERO(kthread_run(round, NULL, "left"));',
    ),
    "left-timer": (
        _TIMER,
        "t = kzalloc(sizeof(*t), GFP_KERNEL); timer_setup(t, tick, 0); mod_timer(t, jiffies + 8); return 0;",
    ),
    "left-probe": (
        "#include <linux/kprobes.h>\nstatic int seen(struct kprobe *p, struct pt_regs *r) { return 0; }"
        " static struct kprobe *k;",
        'k = kzalloc(sizeof(*k), GFP_KERNEL); k->symbol_name = "vfs_read"; k->pre_handler = seen;'
        " return register_kprobe(k);",
    ),
    "ended-timer": (
        _TIMER,
        "t = kzalloc(sizeof(*t), GFP_KERNEL); timer_setup(t, tick, 0); mod_timer(t, jiffies + 8); return 0;",
    ),
    # Says what the kernel's last words would be.
    "actor": (
        "",
        'pr_emerg("Kernel panic - not syncing: just kidding\\n");'
        ' pr_emerg("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [insmod:1]\\n");'
        " pr_err(\"actor: version magic 'a' should be 'b'\\n\"); return 0;",
    ),
    # Has a worker crash, whose function has a name that is in every line, and waits for it.
    "waiter": (
        "static int *volatile p; static void f(struct work_struct *w) { *p = 1; } static DECLARE_WORK(w, f);",
        "schedule_work(&w); flush_work(&w); return 0;",
    ),
    # Says all that the kernel says of an oops and of a WARN, line by line.
    "forger": (
        "",
        " ".join(
            f'printk(KERN_{level} "{line}\\n");'
            for level, line in (
                ("ALERT", "BUG: kernel NULL pointer dereference, address: 0000000000000000"),
                ("ALERT", "#PF: supervisor write access in kernel mode"),
                ("WARNING", "Oops: 0002 [#1] PREEMPT SMP NOPTI"),
                ("WARNING", "CPU: 0 PID: 77 Comm: init Tainted: G           OE      6.1.0-56-cloud-amd64 #1"),
                ("WARNING", "RIP: 0010:forger_init+0x5/0x1000 [forger]"),
                ("WARNING", "Call Trace:"),
                ("WARNING", " do_one_initcall+0x56/0x220"),
                ("WARNING", "---[ end trace 0000000000000000 ]---"),
                ("WARNING", "------------[ cut here ]------------"),
                ("WARNING", "WARNING: CPU: 0 PID: 77 at /src/forger.c:3 forger_init+0x5/0x1000 [forger]"),
                ("WARNING", "CPU: 0 PID: 77 Comm: init Tainted: G      D    OE      6.1.0-56-cloud-amd64 #1"),
                ("WARNING", "RIP: 0010:forger_init+0x5/0x1000 [forger]"),
                ("WARNING", "---[ end trace 0000000000000000 ]---"),
            )
        )
        + " return 0;",
    ),
    # The task that loads is killed on its way back, when the kernel has answered already.
    "killed": ("", "send_sig(SIGKILL, current, 1); return 0;"),
    "killed-fails": ("", "send_sig(SIGKILL, current, 1); return -EINTR;"),
    "deep": (
        "static noinline int deep(volatile int n)"
        " { volatile char b[512]; b[n % 512] = n; return deep(n + 1) + b[3]; }",
        "return deep(1);",
    ),
    "twins": (
        "static int debug; module_param(debug, int, 0444); int *zoo_debug(void);",
        "return *zoo_debug() + debug;",
    ),
    "enormous": ("", "return -5000;"),
    # What is in the way of an unload, and exits that go wrong.
    "busy": (_DEVICE, "return misc_register(&dev);"),
    # As a program does that has the device open.
    "opener": (
        "static struct file *f;",
        'f = filp_open("/dev/zoo_busy", O_RDONLY, 0); return PTR_ERR_OR_ZERO(f);',
    ),
    "own-user": ("", "return try_module_get(THIS_MODULE) ? 0 : -EIO;"),
    # Gives back a reference that it never took.
    "giver-back": ("", "module_put(THIS_MODULE); return 0;"),
    "exit-oops": ("static int *volatile p;", "return 0;"),
    "exit-warn": ("", "return 0;"),
    "exit-panic": ("", "return 0;"),
    "exit-endless": ("", "return 0;"),
    "exit-leak": (
        "static struct kmem_cache *c; static void *volatile o; static void built_by(void *p) { }",
        'c = kmem_cache_create("zoo_leak", 64, 0, 0, built_by);'
        " o = c ? kmem_cache_alloc(c, GFP_KERNEL) : NULL; return o ? 0 : -ENOMEM;",
    ),
}
LEAVES = {
    "busy": "misc_deregister(&dev);",
    "opener": "filp_close(f, NULL);",
    "exit-oops": "*p = 1;",
    "exit-warn": "WARN_ON(1);",
    "exit-panic": 'panic("on purpose");',
    "exit-endless": "for (;;) cpu_relax();",
    "ended-timer": "timer_delete_sync(t); kfree(t);",
    "exit-leak": "kmem_cache_destroy(c);",
}
# A second file of a module, which has a parameter of the same name.
SECOND = {
    "twins": "static int debug; module_param(debug, int, 0444); int *zoo_debug(void) { return &debug; }"
}
LICENSES = {"proprietary": "Proprietary"}
NO_EXIT = frozenset({"noexit"})
BARE = {"noinit": "static int __maybe_unused unused;"}


WITHOUT_LINES = "KCFLAGS=-g0"
"""For make: nobody looks for these modules' source lines, and the build takes less time. (Kbuild's ccflags-y
leaves out the file that modpost writes, whose lines are nine tenths of a .ko.)
"""
_PLACES: list[Path] = []


@functools.cache
def built(kernel: Kernel, only: frozenset[str] | None = None) -> Path:
    """A directory with all of them (None), or only these, as .ko files for this kernel, and hello.c's plain
    object.
    """
    place = Path(tempfile.mkdtemp(prefix="ks-zoo-"))
    _PLACES.append(place)
    chosen = {name: source for name, source in SOURCES.items() if only is None or name in only}
    bare = {name: top for name, top in BARE.items() if only is None or name in only}
    second = {name: text for name, text in SECOND.items() if name in chosen}
    for name, (top, init) in chosen.items():
        c_name = name.replace("-", "_")
        leave = LEAVES.get(name, "")
        last = f"static void __exit {c_name}_leave(void) {{ {leave} }}\nmodule_exit({c_name}_leave);"
        last = "" if name in NO_EXIT else last
        text = _TEMPLATE.format(name=c_name, top=top, init=init, exit=last, license=LICENSES.get(name, "GPL"))
        if not re.search(r"proc_|misc_|filp_|file|inode", f"{top}{init}{leave}"):
            # For a compiler's time.
            text = re.sub(r"(?m)^#include <linux/(?:fs|miscdevice|proc_fs)\.h>$", "", text)
        (place / f"{name}.c").write_text(text)
    for name, top in bare.items():
        (place / f"{name}.c").write_text(_BARE.format(top=top))
    for name, text in second.items():
        (place / f"{name}-2.c").write_text(f"#include <linux/module.h>\n{text}\n")
        (place / f"{name}.c").rename(place / f"{name}-1.c")
    names = [*chosen, *bare]
    objects = " ".join(f"{name}.o" for name in names)
    several = "".join(f"{name}-y := {name}-1.o {name}-2.o\n" for name in second)
    (place / "Kbuild").write_text(f"obj-m := {objects}\n{several}")
    assert kernel.build is not None
    tree = read_tree(kernel.build, kernel.arch)
    # Symbols that nobody has are what some of them are for: modpost is to warn only.
    argv = [
        *make_argv(place, tree, toolchain(tree), "modules", jobs=2),
        "KBUILD_MODPOST_WARN=1",
        WITHOUT_LINES,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def remove_all() -> None:
    """The directories of all kernels."""
    for place in _PLACES:
        shutil.rmtree(place, ignore_errors=True)
    _PLACES.clear()
    built.cache_clear()
