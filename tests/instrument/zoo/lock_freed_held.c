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
	mutex_init(&o->lock);
	mutex_lock(&o->lock);
	kfree(o); /* BUG held-lock-freed */
	return 0;
}

static void __exit bug_exit(void)
{
}
