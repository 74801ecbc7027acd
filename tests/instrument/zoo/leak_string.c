// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static char *p;

static int __init bug_init(void)
{
	p = kasprintf(GFP_KERNEL, "name%d", zero); /* BUG memory-leak */
	return 0;
}

static void __exit bug_exit(void)
{
}
