// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls of a module's init that can fail, and makes one of them fail. /proc/ks_faults lists them:
 * number, function, 1 where the caller says that it can do without, and place, a call a line.
 */
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include "faults.h"

static unsigned int fail;
module_param(fail, uint, 0200);
MODULE_PARM_DESC(fail, "number of the call that fails, from 1; 0: none; may be told when this is loaded");

static bool later;
module_param(later, bool, 0);
MODULE_PARM_DESC(later, "count the calls after init, by whatever task, in its place");

/* Whose init runs: the task that loads a module, between the module's coming and init's return. */
static struct task_struct *loader;
static int alive; /* modules that are between init's return and exit's */
static atomic_t calls;

/* Not allocated: in a copy of this module the functions for that lead to the sanitizer's hooks. */
#define MOST 1024
struct made {
	const char *name;
	bool spare;
	char place[111];
};
static struct made list[MOST];

static bool counts(void)
{
	if (later)
		return READ_ONCE(alive) && current != READ_ONCE(loader);
	return current == READ_ONCE(loader) && in_task();
}

bool ks_fails(const struct ks_call *call, unsigned long ip, unsigned long *arguments, unsigned long *result)
{
	gfp_t gfp = call->gfp >= 0 ? (gfp_t)arguments[call->gfp] : 0;
	unsigned int number;

	/* Who says that it can't fail is believed. */
	if (!counts() || gfp & __GFP_NOFAIL)
		return false;
	number = atomic_inc_return(&calls);
	if (!READ_ONCE(fail) && number <= MOST) {
		struct made *made = &list[number - 1];

		made->spare = gfp & __GFP_NOWARN;
		scnprintf(made->place, sizeof(made->place), "%pB", (void *)ip);
		/* The listing may come while a call is noted. */
		smp_store_release(&made->name, call->name);
	}
	if (number != READ_ONCE(fail))
		return false;
	pr_info("ks_faults: %u failed %s %pB\n", number, call->name, (void *)ip);
	if (call->before)
		call->before(arguments);
	*result = call->argument >= 0 ? arguments[call->argument] : call->failure;
	return true;
}

static int followed(struct notifier_block *block, unsigned long state, void *data)
{
	switch (state) {
	case MODULE_STATE_COMING:
		WRITE_ONCE(loader, current);
		break;
	case MODULE_STATE_LIVE:
		WRITE_ONCE(loader, NULL);
		WRITE_ONCE(alive, alive + 1);
		break;
	case MODULE_STATE_GOING:
		if (!READ_ONCE(loader))
			WRITE_ONCE(alive, alive - 1);
		WRITE_ONCE(loader, NULL);
		break;
	}
	return NOTIFY_OK;
}

/* The last to hear that a module comes: what the others do for it is not init's. */
static struct notifier_block follower = { .notifier_call = followed, .priority = -100 };

static int show(struct seq_file *file, void *data)
{
	unsigned int i, count = atomic_read(&calls);

	for (i = 0; i < min_t(unsigned int, count, MOST); i++) {
		const char *name = smp_load_acquire(&list[i].name);

		if (name)
			seq_printf(file, "%u %s %d %s\n", i + 1, name, list[i].spare, list[i].place);
	}
	seq_printf(file, "%u calls\n", count);
	return 0;
}

static int __init ks_faults_start(void)
{
	int error;

	if (!fail && !proc_create_single("ks_faults", 0444, NULL, show))
		return -ENOMEM;
	error = register_module_notifier(&follower);
	if (error && !fail)
		remove_proc_entry("ks_faults", NULL);
	return error;
}

static void __exit ks_faults_stop(void)
{
	unregister_module_notifier(&follower);
	if (!fail)
		remove_proc_entry("ks_faults", NULL);
}

module_init(ks_faults_start);
module_exit(ks_faults_stop);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kscaffold's failing calls");
