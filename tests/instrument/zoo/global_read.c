// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int table[10] = { 1 };

static int __init bug_init(void)
{
	sink = table[10 + zero]; /* BUG global-out-of-bounds array-index-out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
