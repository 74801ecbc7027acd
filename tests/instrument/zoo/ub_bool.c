// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static bool flag;

static int __init bug_init(void)
{
	memset(&flag, 5 + zero, 1);
	sink = flag; /* BUG invalid-load */
	return 0;
}

static void __exit bug_exit(void)
{
}
