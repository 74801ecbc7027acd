// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	if (zero)
		return -EIO;
	sink = 100 / zero; /* BUG division-overflow */
	return 0;
}

static void __exit bug_exit(void)
{
}
