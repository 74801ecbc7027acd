"""Modules that leave something armed when they go, which runs late or never, and healthy ones like them.

`start` is what init does, `end` what exit does of it; `runs` is the function that is to be called.
"""

import functools
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
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define timer_delete_sync(t) del_timer_sync(t)
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define hrtimer_setup(t, f, c, m) (hrtimer_init(t, c, m), (t)->function = (f))
#endif
static int n;
{top}
static int __init {name}_init(void)
{{
	{start}
	return 0;
}}
static void __exit {name}_exit(void) {{ {end} }}
module_init({name}_init);
module_exit({name}_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("of the zoo");
"""

_TIMER = (
    "static void tick(struct timer_list *t); static DEFINE_TIMER(timer, tick);"
    " static void tick(struct timer_list *t) {{ {body} }}"
)
_WORK = (
    "static void late(struct work_struct *w); static DECLARE_DELAYED_WORK(work, late);"
    " static void late(struct work_struct *w) {{ {body} }}"
)
_HEAP = (
    "struct thing {{ int before[5]; struct delayed_work work; }}; static struct thing *thing;"
    " static void late(struct work_struct *w) {{ {body} }}"
)
_HIGH = (
    "static struct hrtimer *timer; static enum hrtimer_restart tick(struct hrtimer *t)"
    " { n++; return HRTIMER_NORESTART; }"
)
_THREAD = (
    "static struct task_struct *thread; static int round(void *x)"
    " {{ while (!kthread_should_stop()) {{ msleep({ms}); n++; }} return 0; }}"
)
_START_HIGH = (
    "timer = kzalloc(sizeof(*timer), GFP_KERNEL);"
    " hrtimer_setup(timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL);"
    " hrtimer_start(timer, ms_to_ktime({ms}), HRTIMER_MODE_REL);"
)
_START_HEAP = (
    "thing = kzalloc(sizeof(*thing), GFP_KERNEL); INIT_DELAYED_WORK(&thing->work, late);"
    " schedule_delayed_work(&thing->work, {s} * HZ);"
)
_REBOOT = (
    "static int told(struct notifier_block *b, unsigned long a, void *d) { return NOTIFY_DONE; }"
    " static struct notifier_block block = { .notifier_call = told };"
)


@dataclass(frozen=True)
class Armed:
    """One module. `verdict`: of its run; None where it is healthy. `runs`: what the cause names."""

    top: str
    start: str
    end: str = ""
    verdict: str | None = None
    runs: str = ""


def _timer(body: str = "n++;") -> str:
    return _TIMER.format(body=body)


_HOUR = Armed(_timer(), "mod_timer(&timer, jiffies + 3600 * HZ);", "", "loaded", "calls tick() in 3")

ARMED = {
    # Soon, but later than a kernel is watched for anything else. Exit has the right call, and does not make
    # it.
    "timer_if": Armed(
        _timer(),
        "mod_timer(&timer, jiffies + 5 * HZ);",
        "if (n > 9) timer_delete_sync(&timer);",
        "crashed",
        "timer",
    ),
    # Due when a busy machine has come no further than init.
    "timer_busy": Armed(
        _timer(),
        "mod_timer(&timer, jiffies + 3 * HZ / 2);",
        "if (n > 9) timer_delete_sync(&timer);",
        "busy",
    ),
    "heap_5": Armed(_HEAP.format(body="n++;"), _START_HEAP.format(s=5), "", "crashed", "late"),
    "high_5": Armed(_HIGH, _START_HIGH.format(ms=5000), "", "crashed", "tick"),
    # A task that sleeps for 4 s is told as one that is blocked, by the sandbox's kernel.
    "thread_3": Armed(
        _THREAD.format(ms=3300),
        'thread = kthread_run(round, NULL, "armed"); msleep(50);',
        "",
        "crashed",
        "round",
    ),
    # Later than anybody waits.
    "timer_hour": _HOUR,
    # All in one bucket of the kernel's wheel: the memory of the first one in it goes first.
    "timer_beside": _HOUR,
    "timer_behind": _HOUR,
    "work_hour": Armed(
        _WORK.format(body="n++;"),
        "schedule_delayed_work(&work, 7200 * HZ);",
        "",
        "loaded",
        "calls late() in 7",
    ),
    "heap_hour": Armed(
        _HEAP.format(body="n++;"), _START_HEAP.format(s=10800), "", "loaded", "calls late() in 10"
    ),
    "high_hour": Armed(_HIGH, _START_HIGH.format(ms=3600000), "", "loaded", "calls tick() in 3"),
    # Never by itself: the kernel's list tells of the notifier, of the others only the imports.
    "notifier": Armed(
        _REBOOT, "register_reboot_notifier(&block);", "", "loaded", "unregister_reboot_notifier()"
    ),
    "tasklet": Armed(
        "static void soft(unsigned long d) { n++; } static struct tasklet_struct task;",
        "tasklet_init(&task, soft, 0); tasklet_schedule(&task); msleep(20);",
        "",
        "loaded",
        "tasklet_kill()",
    ),
    "rcu": Armed(
        "static struct rcu_head head; static void freed(struct rcu_head *h) { n++; }",
        "call_rcu(&head, freed); msleep(300);",
        "",
        "loaded",
        "rcu_barrier()",
    ),
    # Called when somebody opens a file of that number: no list of the kernel's can be read that has it.
    "cdev": Armed(
        "#include <linux/cdev.h>\n#include <linux/fs.h>\nstatic const struct file_operations fops = {"
        " .owner = THIS_MODULE }; static dev_t d; static struct cdev c;",
        'alloc_chrdev_region(&d, 0, 1, "armed_cdev"); cdev_init(&c, &fops);'
        " if (cdev_add(&c, d, 1)) return -EIO;",
        "unregister_chrdev_region(d, 1);",
        "loaded",
        "cdev_del()",
    ),
    # Healthy.
    "ok_timer": Armed(
        _timer("mod_timer(&timer, jiffies + HZ / 10);"),
        "mod_timer(&timer, jiffies + HZ);",
        "timer_delete_sync(&timer);",
    ),
    "ok_work": Armed(
        _WORK.format(body="schedule_delayed_work(&work, HZ);"),
        "schedule_delayed_work(&work, HZ);",
        "cancel_delayed_work_sync(&work);",
    ),
    "ok_heap": Armed(
        _HEAP.format(body="n++;"),
        _START_HEAP.format(s=3600),
        "cancel_delayed_work_sync(&thing->work); kfree(thing);",
    ),
    "ok_high": Armed(_HIGH, _START_HIGH.format(ms=3600000), "hrtimer_cancel(timer); kfree(timer);"),
    "ok_high_static": Armed(
        _HIGH.replace("*timer", "timer"),
        _START_HIGH.format(ms=3600000).partition("; ")[2].replace("(timer", "(&timer"),
        "hrtimer_cancel(&timer);",
    ),
    "ok_thread": Armed(
        _THREAD.format(ms=200), 'thread = kthread_run(round, NULL, "armed");', "kthread_stop(thread);"
    ),
    "ok_cdev": Armed(
        "#include <linux/cdev.h>\n#include <linux/fs.h>\nstatic const struct file_operations fops = {"
        " .owner = THIS_MODULE }; static dev_t d; static struct cdev c;",
        'alloc_chrdev_region(&d, 0, 1, "armed_cdev"); cdev_init(&c, &fops);'
        " if (cdev_add(&c, d, 1)) return -EIO;",
        "cdev_del(&c); unregister_chrdev_region(d, 1);",
    ),
    "ok_once": Armed(
        "static DECLARE_COMPLETION(done); " + _timer("complete(&done);"),
        "mod_timer(&timer, jiffies + HZ / 10);",
        "wait_for_completion(&done); msleep(20);",
    ),
    "ok_tasklet": Armed(
        "static void soft(unsigned long d) { n++; } static struct tasklet_struct task;",
        "tasklet_init(&task, soft, 0); tasklet_schedule(&task);",
        "tasklet_kill(&task);",
    ),
}
"""By their names without the `armed_` of the files. armed_two, of two files, is healthy as well."""

FEW = ("timer_hour", "timer_beside", "heap_hour", "high_hour", "ok_timer", "ok_high_static", "ok_thread")
"""Those that show whether the timers of another kernel are read right."""

_PLACES: list[Path] = []


@functools.cache
def built_armed(kernel: Kernel, names: tuple[str, ...] = tuple(ARMED)) -> Path:
    """The directory with these of them, built once for a kernel and a session of tests."""
    place = Path(tempfile.mkdtemp(prefix="ks-armed-"))
    _PLACES.append(place)
    for name in names:
        each = ARMED[name]
        text = _TEMPLATE.format(name=f"armed_{name}", top=each.top, start=each.start, end=each.end)
        (place / f"armed_{name}.c").write_text(text)
    objects = " ".join(f"armed_{name}.o" for name in names)
    # Cancelled in another file of the same module.
    (place / "start.c").write_text(
        '#include <linux/module.h>\n#include <linux/timer.h>\n#include "two.h"\nstatic int n;\n'
        "static void tick(struct timer_list *t) { n++; }\nstruct timer_list two_timer;\n"
        "static int __init two_init(void) { timer_setup(&two_timer, tick, 0);"
        " mod_timer(&two_timer, jiffies + 3600 * HZ); return 0; }\n"
        'module_init(two_init);\nMODULE_LICENSE("GPL");\nMODULE_DESCRIPTION("of the zoo");\n'
    )
    (place / "two.h").write_text("extern struct timer_list two_timer;\n")
    (place / "stop.c").write_text(
        '#include <linux/module.h>\n#include <linux/timer.h>\n#include <linux/version.h>\n#include "two.h"\n'
        "#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)\n#define timer_delete_sync(t) del_timer_sync(t)\n"
        "#endif\n"
        "static void __exit two_exit(void) { timer_delete_sync(&two_timer); }\nmodule_exit(two_exit);\n"
    )
    (place / "Kbuild").write_text(f"obj-m := {objects} armed_two.o\narmed_two-y := start.o stop.o\n")
    assert kernel.build is not None
    tree = read_tree(kernel.build)
    argv = [*make_argv(place, tree, toolchain(tree), "modules", jobs=2), WITHOUT_LINES]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def remove_armed() -> None:
    """The directories of all kernels."""
    for place in _PLACES:
        shutil.rmtree(place, ignore_errors=True)
    _PLACES.clear()
    built_armed.cache_clear()
