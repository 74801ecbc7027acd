// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

struct object {
	int count;
};

static struct object *o;
static struct work_struct work;

static void do_work(struct work_struct *unused)
{
	o->count++; /* BUG use-after-free */
}

static int __init bug_init(void)
{
	o = kzalloc(sizeof(*o), GFP_KERNEL);
	if (!o)
		return -ENOMEM;
	INIT_WORK(&work, do_work);
	kfree(o);
	schedule_work(&work);
	return 0;
}

static void __exit bug_exit(void)
{
	flush_work(&work);
}
