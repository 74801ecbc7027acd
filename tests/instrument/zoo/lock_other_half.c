// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DECLARE_RWSEM(a);

static int __init bug_init(void)
{
	down_read(&a);
	up_write(&a); /* BUG bad-unlock-balance */
	return 0;
}

static void __exit bug_exit(void)
{
}
