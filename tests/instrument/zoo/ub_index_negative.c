// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int table[4];

static int __init bug_init(void)
{
	sink = table[zero - 1]; /* BUG array-index-out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
