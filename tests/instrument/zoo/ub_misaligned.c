// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static char bytes[16] __aligned(8);

static int __init bug_init(void)
{
	sink = *(u32 *)(bytes + 1 + zero); /* BUG misaligned-access */
	return 0;
}

static void __exit bug_exit(void)
{
}
