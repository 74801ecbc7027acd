// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

struct object {
	struct mutex lock;
};

static int __init bug_init(void)
{
	struct object *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (!o)
		return -ENOMEM;
	mutex_lock(&o->lock); /* BUG lock-not-initialized */
	mutex_unlock(&o->lock);
	kfree(o);
	return 0;
}

static void __exit bug_exit(void)
{
}
