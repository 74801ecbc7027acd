// SPDX-License-Identifier: GPL-2.0
/* 100,000 objects at once, of all sizes, freed in another order; and how long a pair takes. */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#define COUNT 100000

static void *pair(void)
{
	return kmalloc(64, GFP_KERNEL);
}

static int __init many_init(void)
{
	void **objects = vzalloc(COUNT * sizeof(*objects));
	int i, step = 7919, error = 0;
	u64 begun;

	if (!objects)
		return -ENOMEM;
	for (i = 0; i < COUNT; i++) {
		objects[i] = kzalloc(8 + i % 200, GFP_KERNEL);
		if (!objects[i])
			error = -ENOMEM;
	}
	for (i = 0; i < COUNT; i++) {
		int at = (u64)i * step % COUNT;

		kfree(objects[at]);
		objects[at] = NULL;
	}
	vfree(objects);
	begun = ktime_get_ns();
	for (i = 0; i < 20000; i++)
		kfree(pair());
	pr_info("a pair takes %llu ns\n", (ktime_get_ns() - begun) / 20000);
	return error;
}

static void __exit many_exit(void)
{
}

module_init(many_init);
module_exit(many_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("allocates much");
