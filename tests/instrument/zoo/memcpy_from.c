// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char buffer[64], *p = kmalloc(24, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(p);
	memcpy(buffer, p, 32 + zero); /* BUG slab-out-of-bounds */
	sink = buffer[3];
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
