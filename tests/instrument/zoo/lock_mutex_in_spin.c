// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_SPINLOCK(s);
static DEFINE_MUTEX(a);

static int __init bug_init(void)
{
	spin_lock(&s);
	mutex_lock(&a); /* BUG sleeping-while-atomic */
	mutex_unlock(&a);
	spin_unlock(&s);
	return 0;
}

static void __exit bug_exit(void)
{
}
