// SPDX-License-Identifier: GPL-2.0
/* Follows the modules' lives: globals are made known before init, what is left is told after exit. */
#include <linux/kallsyms.h>
#include <linux/mm.h>
#include <linux/tracepoint.h>
#include "ks.h"

/*
 * The compiler makes a global variable known from a constructor, and kernels without CONFIG_CONSTRUCTORS don't
 * call those of modules. They are found by name: gcc's `_sub_I_65535_1`, clang's `asan.module_ctor`, one in each
 * object file. `_sub_I_00100_…` is coverage's.
 */
static void call_constructors(struct module *module)
{
	struct mod_kallsyms *symbols;
	unsigned int i;

	rcu_read_lock_sched();
	symbols = rcu_dereference_sched(module->kallsyms);
	for (i = 0; symbols && i < symbols->num_symtab; i++) {
		const Elf_Sym *symbol = &symbols->symtab[i];

		const char *name = symbols->strtab + symbol->st_name;

		if (symbol->st_shndx == SHN_UNDEF || !strncmp(name, "_sub_I_00100_", 13))
			continue;
		if (!strncmp(name, "_sub_I_", 7) || !strcmp(name, "asan.module_ctor"))
			((void (*)(void))symbol->st_value)();
	}
	rcu_read_unlock_sched();
}

#define MOST_MODULES 64
static struct module *followed_modules[MOST_MODULES];

static void follow(struct module *from, struct module *to)
{
	int i;

	for (i = 0; i < MOST_MODULES; i++)
		if (followed_modules[i] == from) {
			WRITE_ONCE(followed_modules[i], to);
			return;
		}
}

/* The module that is followed and has this address; NULL for none. */
const struct module *ks_owner(unsigned long addr)
{
	int i;

	for (i = 0; i < MOST_MODULES; i++) {
		struct module *module = READ_ONCE(followed_modules[i]);

		if (module && within_module(addr, module))
			return module;
	}
	return NULL;
}

/*
 * Whether it is known how long the memory at this address lives: what happened at an address of unknown memory
 * may be another object's past.
 */
bool ks_is_known(unsigned long addr)
{
	unsigned long flags;
	bool known;

	if (ks_owner(addr))
		return true;
	if (!ks_maybe(addr))
		return false;
	raw_spin_lock_irqsave(&ks_lock, flags);
	known = ks_find(addr);
	raw_spin_unlock_irqrestore(&ks_lock, flags);
	return known;
}

static int followed(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *module = data;

	switch (state) {
	case MODULE_STATE_COMING:
		follow(NULL, module);
		call_constructors(module);
		break;
	case MODULE_STATE_LIVE:
		ks_returned();
		ks_keep_site_names(module);
		break;
	case MODULE_STATE_GOING:
		ks_returned();
		ks_keep_site_names(module);
		ks_locks_left(module);
		ks_settle();
		ks_leaks(module);
		ks_drain(true);
		ks_forget_sites(module);
		ks_forget_reports(module);
		follow(module, NULL);
		if (ks_untracked())
			pr_info("ks_sanitize: 0 untracked %lu\n", ks_untracked());
		break;
	}
	return NOTIFY_OK;
}

/* Before others hear that a module goes: ftrace, for one, forgets its names. */
static struct notifier_block follower = { .notifier_call = followed, .priority = 100 };

static void heard_kfree(void *data, unsigned long from, const void *object)
{
	ks_heard_kfree((unsigned long)object);
}

/* What else it is told differs from version to version, and is not looked at. */
static void heard_cache_free(void *data, unsigned long from, const void *object)
{
	ks_heard_kfree((unsigned long)object);
}

static void heard_page_free(void *data, struct page *page, unsigned int order)
{
	if (!PageHighMem(page))
		ks_heard_page_free((unsigned long)page_address(page));
}

static void heard_return(void *data, struct pt_regs *regs, long result)
{
	ks_returned();
}

static struct probe {
	const char *name;
	void *function;
	struct tracepoint *point;
} probes[] = {
	{ "kfree", heard_kfree },
	{ "kmem_cache_free", heard_cache_free },
	{ "mm_page_free", heard_page_free },
	{ "sys_exit", heard_return },
};

static void note_tracepoint(struct tracepoint *point, void *data)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (!strcmp(point->name, probes[i].name))
			probes[i].point = point;
}

static int __init ks_start(void)
{
	int error = ks_regions_start() ?: ks_slabs_start() ?: register_module_notifier(&follower);
	int i;

	if (error)
		return error;
	for_each_kernel_tracepoint(note_tracepoint, NULL);
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (!probes[i].point || tracepoint_probe_register(probes[i].point, probes[i].function, NULL))
			pr_info("ks_sanitize: 0 deaf %s\n", probes[i].name);
	return 0;
}

static void __exit ks_stop(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (probes[i].point)
			tracepoint_probe_unregister(probes[i].point, probes[i].function, NULL);
	tracepoint_synchronize_unregister();
	unregister_module_notifier(&follower);
	ks_settle();
	ks_regions_stop();
	ks_slabs_stop();
}

module_init(ks_start);
module_exit(ks_stop);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kscaffold's sanitizer for one module");
