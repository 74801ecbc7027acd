// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_SPINLOCK(s);

static int __init bug_init(void)
{
	unsigned long flags;
	void *p;

	spin_lock_irqsave(&s, flags);
	p = kmalloc(100 + zero, GFP_KERNEL); /* BUG sleeping-while-atomic */
	spin_unlock_irqrestore(&s, flags);
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
