// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static char table[32];

static int __init bug_init(void)
{
	kfree(&table[zero]); /* BUG invalid-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
