// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kvmalloc(1000, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	p[1000 + zero] = 0; /* BUG slab-out-of-bounds */
	kvfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
