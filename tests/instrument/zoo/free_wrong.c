// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = vmalloc(100);

	if (!p)
		return -ENOMEM;
	kfree(p); /* BUG alloc-dealloc-mismatch */
	vfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
