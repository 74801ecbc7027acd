// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	sink = 1 << (32 + zero); /* BUG shift-out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
