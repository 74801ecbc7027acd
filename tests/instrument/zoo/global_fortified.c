// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct {
	char name[12];
} state;

static int __init bug_init(void)
{
	memset(state.name, 0, sizeof(state) + 4 + zero); /* BUG out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
