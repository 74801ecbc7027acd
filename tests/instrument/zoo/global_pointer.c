// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static char name[8] = "kernel";

static int __init bug_init(void)
{
	char *p = name + zero;

	sink = p[8 + zero]; /* BUG global-out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
