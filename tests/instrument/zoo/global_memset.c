// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct {
	char name[12];
} state;

static int __init bug_init(void)
{
	char *p = (char *)&state + zero;

	OPTIMIZER_HIDE_VAR(p);
	memset(p, 0, sizeof(state) + 4 + zero); /* BUG global-out-of-bounds */
	return 0;
}

static void __exit bug_exit(void)
{
}
