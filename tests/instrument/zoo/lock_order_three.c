// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_SPINLOCK(a);
static DEFINE_SPINLOCK(b);
static DEFINE_SPINLOCK(c);

static void take(spinlock_t *first, spinlock_t *second)
{
	spin_lock(first);
	spin_lock(second); /* BUG circular-locking */
	spin_unlock(second);
	spin_unlock(first);
}

static int __init bug_init(void)
{
	take(&a, &b);
	take(&b, &c);
	take(&c, &a);
	return 0;
}

static void __exit bug_exit(void)
{
}
