// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_SPINLOCK(s);

static noinline void inner(void)
{
	spin_lock(&s); /* BUG recursive-locking */
	spin_unlock(&s);
}

static int __init bug_init(void)
{
	unsigned long flags;

	spin_lock_irqsave(&s, flags);
	inner();
	spin_unlock_irqrestore(&s, flags);
	return 0;
}

static void __exit bug_exit(void)
{
}
