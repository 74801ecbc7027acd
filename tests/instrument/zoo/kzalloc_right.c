// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	int *p = kzalloc(10 * sizeof(*p), GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	sink = p[10 + zero]; /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
