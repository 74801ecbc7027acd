// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	int n = 100 + zero;
	char *p = kmalloc(n, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	p[n] = 0; /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
