// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	if (!zero)
		unreachable(); /* BUG unreachable */
	return 0;
}

static void __exit bug_exit(void)
{
}
