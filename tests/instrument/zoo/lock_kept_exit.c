// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct mutex a;
static DECLARE_RWSEM(sem);

static int __init bug_init(void)
{
	mutex_init(&a);
	return 0;
}

static void __exit bug_exit(void)
{
	down_write(&sem); /* BUG lock-held-on-return */
}
