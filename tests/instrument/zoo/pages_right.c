// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = (char *)__get_free_pages(GFP_KERNEL, 1);

	if (!p)
		return -ENOMEM;
	p[2 * PAGE_SIZE + zero] = 0; /* BUG page-out-of-bounds */
	free_pages((unsigned long)p, 1);
	return 0;
}

static void __exit bug_exit(void)
{
}
