// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/init.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sysfs.h>

static char *symbol = "kernel_clone";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function of the kernel that is watched");

static atomic_t hits = ATOMIC_INIT(0);

/*
 * Runs at each call of the function, before its first instruction, on the CPU
 * that called, with preemption off: it must not sleep. 0: go on as usual.
 */
static int watch_call(struct kprobe *probe, struct pt_regs *regs)
{
	atomic_inc(&hits);
	/* Not for each call: who prints at every one drowns the log. */
	pr_info_ratelimited("%s called by %s\n", probe->symbol_name,
			    current->comm);

	return 0;
}

static struct kprobe watch = {
	.pre_handler = watch_call,
};

/* /sys/module/NAME/parameters/hits, for reading only. */
static int hits_get(char *page, const struct kernel_param *param)
{
	return sysfs_emit(page, "%d\n", atomic_read(&hits));
}

static const struct kernel_param_ops hits_ops = {
	.get = hits_get,
};

module_param_cb(hits, &hits_ops, NULL, 0444);
MODULE_PARM_DESC(hits, "how often it was called so far");

static int __init {{ cookiecutter.ident }}_init(void)
{
	int err;

	watch.symbol_name = symbol;
	/* -ENOENT: no such function; -EINVAL: one that must not be probed. */
	err = register_kprobe(&watch);
	if (err) {
		pr_err("%s can't be watched\n", symbol);
		return err;
	}
	pr_info("watching %s\n", symbol);

	return 0;
}

/* Waits for the calls that are inside the handler. */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	unregister_kprobe(&watch);
	pr_info("%s was called %d times\n", symbol, atomic_read(&hits));
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
