// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	unsigned long p = __get_free_page(GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	free_page(p);
	free_page(p); /* BUG double-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
