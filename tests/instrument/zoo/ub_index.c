// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	int local[4] = { 1, 2, 3, 4 };

	sink = local[4 + zero]; /* BUG array-index-out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
