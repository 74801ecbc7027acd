// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	int *p = kcalloc(8, sizeof(*p), GFP_KERNEL);
	int i;

	if (!p)
		return -ENOMEM;
	for (i = 0; i <= 8 + zero; i++)
		p[i] = i; /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
