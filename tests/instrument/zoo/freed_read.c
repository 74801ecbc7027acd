// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kmalloc(24, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	kfree(p);
	sink = p[3 + zero]; /* BUG use-after-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
