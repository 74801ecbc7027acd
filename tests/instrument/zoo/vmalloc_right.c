// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = vmalloc(5000);

	if (!p)
		return -ENOMEM;
	p[5000 + zero] = 0; /* BUG vmalloc-out-of-bounds */
	vfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
