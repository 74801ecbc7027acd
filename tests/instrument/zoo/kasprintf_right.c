// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kasprintf(GFP_KERNEL, "%d", 1000 + zero);

	if (!p)
		return -ENOMEM;
	p[5 + zero] = 0; /* BUG slab-out-of-bounds */
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
