// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

struct object {
	spinlock_t lock;
};

static int __init bug_init(void)
{
	struct object *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (!o)
		return -ENOMEM;
	spin_lock_init(&o->lock);
	kfree(o);
	spin_lock(&o->lock); /* BUG use-after-free */
	spin_unlock(&o->lock);
	return 0;
}

static void __exit bug_exit(void)
{
}
