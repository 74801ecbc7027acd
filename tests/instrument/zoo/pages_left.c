// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = (char *)__get_free_page(GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	sink = p[zero - 1]; /* BUG page-out-of-bounds */
	free_page((unsigned long)p);
	return 0;
}

static void __exit bug_exit(void)
{
}
