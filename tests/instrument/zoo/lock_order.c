// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_MUTEX(a);
static DEFINE_MUTEX(b);

static int __init bug_init(void)
{
	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&b);
	mutex_unlock(&a);
	mutex_lock(&b);
	mutex_lock(&a); /* BUG circular-locking */
	mutex_unlock(&a);
	mutex_unlock(&b);
	return 0;
}

static void __exit bug_exit(void)
{
}
