// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static char *p;

static int __init bug_init(void)
{
	p = kmalloc(24, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
	sink = p[2]; /* BUG use-after-free */
}
