// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static void *last;

static int __init bug_init(void)
{
	int i;

	for (i = 0; i < 5; i++)
		last = kzalloc(40, GFP_KERNEL); /* BUG memory-leak */
	return 0;
}

static void __exit bug_exit(void)
{
	kfree(last);
}
