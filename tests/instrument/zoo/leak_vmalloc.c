// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static void *p;

static int __init bug_init(void)
{
	p = vmalloc(9000); /* BUG memory-leak */
	return 0;
}

static void __exit bug_exit(void)
{
}
