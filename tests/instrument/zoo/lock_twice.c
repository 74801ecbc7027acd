// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_MUTEX(a);

static int __init bug_init(void)
{
	mutex_lock(&a);
	mutex_lock(&a); /* BUG recursive-locking */
	mutex_unlock(&a);
	mutex_unlock(&a);
	return 0;
}

static void __exit bug_exit(void)
{
}
