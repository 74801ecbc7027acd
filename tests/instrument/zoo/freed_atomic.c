// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	atomic_t *count = kzalloc(sizeof(*count), GFP_KERNEL);

	if (!count)
		return -ENOMEM;
	kfree(count);
	atomic_inc(count); /* BUG use-after-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
