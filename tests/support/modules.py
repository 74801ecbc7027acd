"""Small modules with a mind of their own, built once for a kernel and a session of tests."""

import functools
import subprocess
from pathlib import Path

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv
from tests.support.shared import once

_SOURCE = """// SPDX-License-Identifier: GPL-2.0
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/timer.h>
#include <asm/desc.h>
{top}
static int __init {name}_init(void) {{ {init} }}
static void __exit __maybe_unused {name}_exit(void) {{ {exit} }}
module_init({name}_init);
{module_exit}
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""

# name: (top, init, exit); exit None: no exit function.
SOURCES: dict[str, tuple[str, str, str | None]] = {
    "hello": ("", 'pr_info("hello from init\\n"); return 0;', 'pr_info("goodbye\\n");'),
    "minus": ("", 'pr_info("init ran\\n"); return -1;', ""),
    "endless": ("", 'pr_info("begin\\n"); for (;;) cpu_relax(); return 0;', ""),
    "deaf": ("", 'pr_info("begin\\n"); local_irq_disable(); for (;;) cpu_relax(); return 0;', ""),
    "sleeper": (
        "",
        'pr_info("begin\\n"); for (;;) { set_current_state(TASK_UNINTERRUPTIBLE); schedule(); } return 0;',
        "",
    ),
    "panics": ("", 'pr_info("about to\\n"); panic("on purpose"); return 0;', ""),
    "oopses": ("static int *volatile p;", 'pr_info("about to\\n"); *p = 1; return 0;', ""),
    "triple": (
        "",
        "struct desc_ptr d = { 0, 0 }; local_irq_disable();"
        ' asm volatile("lidt %0; int3" : : "m" (d)); return 0;',
        "",
    ),
    "flood": (
        "static int n = 1000000; module_param(n, int, 0444);",
        'int i; for (i = 0; i < n; i++) pr_info("line %d of a long story\\n", i); return 0;',
        "",
    ),
    "exithang": ("", "return 0;", "for (;;) cpu_relax();"),
    "exitoops": ("static int *volatile p;", "return 0;", "*p = 1;"),
    "noexit": ("", "return 0;", None),
    # Loads well, and then says more than anybody can read.
    "chatter": (
        "#include <linux/kthread.h>\nstatic struct task_struct *t[3]; static int n;"
        " static int talk(void *x) { while (!kthread_should_stop()) {"
        ' pr_info("word %d\\n", n++); if (n % 512 == 0) cond_resched(); } return 0; }',
        'int i; for (i = 0; i < 3; i++) t[i] = kthread_run(talk, NULL, "talk"); return 0;',
        'int i; for (i = 0; i < 3; i++) kthread_stop(t[i]); pr_info("silence\\n");',
    ),
    # What takes so many ms of a processor, whatever the clock says.
    "busy": (
        "static int ms = 1000; module_param(ms, int, 0444);",
        "int i; for (i = 0; i < ms; i++) udelay(1000); return 0;",
        "int i; for (i = 0; i < ms; i++) udelay(1000);",
    ),
    "slow": ("static int ms = 1000; module_param(ms, int, 0444);", "msleep(ms); return 0;", "msleep(ms);"),
    "ender": (
        "#include <linux/reboot.h>\nstatic int how; module_param(how, int, 0444);"
        " static void end(void) { if (how == 1) kernel_power_off(); if (how == 2) kernel_restart(NULL);"
        " if (how == 3) kernel_halt(); if (how == 6) orderly_poweroff(false);"
        " if (how == 7) orderly_reboot(); }",
        'if (how == 4) printk(KERN_EMERG "reboot: Power down\\n"); else if (how < 5) end(); return 0;',
        "if (how == 5) kernel_power_off(); end();",
    ),
    # Ends its kernel by itself, some time after init, or when somebody asks.
    "wrecker": (
        "#include <linux/proc_fs.h>\n#include <linux/reboot.h>\n#include <linux/workqueue.h>\n"
        "static int ms, reset; module_param(ms, int, 0444); module_param(reset, int, 0444);\n"
        "static void end(void) { if (reset) emergency_restart(); else\n kernel_power_off(); }\n"
        "static void ring(struct work_struct *w) { end(); } static DECLARE_DELAYED_WORK(work, ring);"
        " static ssize_t ask(struct file *f, const char __user *b, size_t n, loff_t *o) { end(); return n; }"
        " static const struct proc_ops ops = { .proc_write = ask };",
        'proc_create("wrecker", 0600, NULL, &ops);'
        " if (ms) schedule_delayed_work(&work, msecs_to_jiffies(ms)); return 0;",
        'remove_proc_entry("wrecker", NULL); cancel_delayed_work_sync(&work);',
    ),
    # Forgets its thread, whose code is gone when it wakes.
    "leaver": (
        "#include <linux/kthread.h>\nstatic int n;"
        " static int round(void *x) { while (!kthread_should_stop()) { msleep(300); n++; } return 0; }",
        'return PTR_ERR_OR_ZERO(kthread_run(round, NULL, "left"));',
        'pr_info("goodbye\\n");',
    ),
    # Says in its log whatever it is told: the channel's magic, a verdict, a crash, the agent's own mark.
    "forger": (
        'static char *say = ""; module_param(say, charp, 0444);',
        'pr_info("KSC1\\x01\\x02 END status 0 returned 0 verdict loaded\\n");'
        ' printk(KERN_INFO "kscaffold: request 0000000000000000\\n"); pr_info("%s\\n", say);'
        ' printk(KERN_EMERG "BUG: this is a text, and no bug\\n"); return -22;',
        "",
    ),
    "seed": (
        "#include <linux/random.h>\n#include <linux/timekeeping.h>",
        'pr_info("random %016llx time %lld\\n", get_random_u64(), ktime_get_real_seconds()); return 0;',
        "",
    ),
}


@functools.cache
def built(kernel: Kernel) -> Path:
    """A directory with all of SOURCES as .ko files for this kernel."""
    return once("modules", kernel, (), lambda place: _build(place, kernel))


def _build(place: Path, kernel: Kernel) -> Path:
    place.mkdir()
    for name, (top, init, end) in SOURCES.items():
        text = _SOURCE.format(
            name=name,
            top=top,
            init=init,
            exit=end or "",
            module_exit=f"module_exit({name}_exit);" if end is not None else "",
        )
        (place / f"{name}.c").write_text(text.replace("get_random_u64", _random_u64(kernel)))
    (place / "Kbuild").write_text("obj-m := " + " ".join(f"{name}.o" for name in SOURCES) + "\n")
    assert kernel.build is not None
    tree = read_tree(kernel.build)
    argv = make_argv(place, tree, toolchain(tree), "modules", jobs=2)
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def _random_u64(kernel: Kernel) -> str:
    header = next(kernel.build.parent.glob("*common/include/linux/random.h")) if kernel.build else None
    return "get_random_u64" if header and "get_random_u64" in header.read_text() else "get_random_long"
