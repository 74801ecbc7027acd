// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kmemdup("42", 2, GFP_KERNEL);
	int value, err;

	if (!p)
		return -ENOMEM;
	err = kstrtoint(p, 0, &value); /* BUG slab-out-of-bounds */
	sink = err;
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
