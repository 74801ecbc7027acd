// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *q, *p = kmalloc(24, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	q = krealloc(p, 100 + zero, GFP_KERNEL);
	if (!q)
		return -ENOMEM;
	sink = p[0]; /* BUG use-after-free */
	kfree(q);
	return 0;
}

static void __exit bug_exit(void)
{
}
