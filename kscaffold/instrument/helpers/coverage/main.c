// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps the counters of modules that are compiled to count, also of those that have gone. /proc/ks_coverage has
 * for each object its file's name with a NUL, the number of bytes (four of them, little-endian), and the bytes of
 * its .gcda file.
 */
#include <linux/kallsyms.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/byteorder.h>
#include "data.h"

struct object {
	struct list_head list;
	struct module *module; /* NULL once it has gone */
	const struct gcov_info *info;
	char *name;
	u8 *data;
	size_t size;
};

static LIST_HEAD(objects);
static DEFINE_MUTEX(lock);
static struct module *coming;

/* The compiler's constructors call these. */
void ks___gcov_init(struct gcov_info *info);
void ks___gcov_init(struct gcov_info *info)
{
	struct object *object = kzalloc(sizeof(*object), GFP_KERNEL);

	if (!object)
		return;
	object->name = kstrdup(ks_data_name(info), GFP_KERNEL);
	if (!object->name) {
		kfree(object);
		return;
	}
	object->module = coming;
	object->info = info;
	list_add_tail(&object->list, &objects);
}
EXPORT_SYMBOL(ks___gcov_init);

void ks___gcov_exit(void);
void ks___gcov_exit(void)
{
}
EXPORT_SYMBOL(ks___gcov_exit);

void ks___gcov_merge_add(s64 *values, unsigned int count);
void ks___gcov_merge_add(s64 *values, unsigned int count)
{
}
EXPORT_SYMBOL(ks___gcov_merge_add);

/* Kernels without CONFIG_CONSTRUCTORS don't call those of modules. These are gcc's for counters; KASAN's are 99. */
static void call_constructors(struct module *module)
{
	struct mod_kallsyms *symbols = rcu_dereference_raw(module->kallsyms);
	unsigned int i;

	for (i = 0; symbols && i < symbols->num_symtab; i++) {
		const Elf_Sym *symbol = &symbols->symtab[i];

		if (symbol->st_shndx != SHN_UNDEF &&
		    !strncmp(symbols->strtab + symbol->st_name, "_sub_I_00100_", 13))
			((void (*)(void))symbol->st_value)();
	}
}

static void keep(struct object *object)
{
	object->size = ks_data(object->info, NULL);
	object->data = vmalloc(object->size);
	if (object->data)
		ks_data(object->info, object->data);
	else
		object->size = 0;
	object->module = NULL;
}

static int followed(struct notifier_block *block, unsigned long state, void *data)
{
	struct object *object;

	mutex_lock(&lock);
	if (state == MODULE_STATE_COMING) {
		coming = data;
		call_constructors(data);
		coming = NULL;
	} else if (state == MODULE_STATE_GOING) {
		list_for_each_entry(object, &objects, list)
			if (object->module == data)
				keep(object);
	}
	mutex_unlock(&lock);
	return NOTIFY_OK;
}

static struct notifier_block follower = { .notifier_call = followed };

static int show(struct seq_file *file, void *data)
{
	struct object *object;

	mutex_lock(&lock);
	list_for_each_entry(object, &objects, list) {
		__le32 size;

		if (object->module) {
			vfree(object->data);
			object->size = ks_data(object->info, NULL);
			object->data = vmalloc(object->size);
			if (!object->data)
				continue;
			ks_data(object->info, object->data);
		}
		if (!object->data)
			continue;
		size = cpu_to_le32(object->size);
		seq_write(file, object->name, strlen(object->name) + 1);
		seq_write(file, &size, sizeof(size));
		seq_write(file, object->data, object->size);
	}
	mutex_unlock(&lock);
	return 0;
}

static int __init ks_coverage_start(void)
{
	int error;

	if (!proc_create_single("ks_coverage", 0400, NULL, show))
		return -ENOMEM;
	error = register_module_notifier(&follower);
	if (error)
		remove_proc_entry("ks_coverage", NULL);
	return error;
}

static void __exit ks_coverage_stop(void)
{
	struct object *object, *next;

	unregister_module_notifier(&follower);
	remove_proc_entry("ks_coverage", NULL);
	list_for_each_entry_safe(object, next, &objects, list) {
		vfree(object->data);
		kfree(object->name);
		kfree(object);
	}
}

module_init(ks_coverage_start);
module_exit(ks_coverage_stop);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kscaffold's counters of lines");
