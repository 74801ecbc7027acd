// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kmalloc(3 * PAGE_SIZE, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	p[3 * PAGE_SIZE + zero] = 0; /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
