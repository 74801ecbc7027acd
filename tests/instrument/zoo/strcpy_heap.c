// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kmalloc(6, GFP_KERNEL);
	static char text[] = "kernel";

	if (!p)
		return -ENOMEM;
	strcpy(p + zero, text); /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
