// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kmemdup("kernel", 6, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	sink = strlen(p); /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
