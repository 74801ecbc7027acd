// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static unsigned long p;

static int __init bug_init(void)
{
	p = __get_free_page(GFP_KERNEL); /* BUG memory-leak */
	return 0;
}

static void __exit bug_exit(void)
{
}
