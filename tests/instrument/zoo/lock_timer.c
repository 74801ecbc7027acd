// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct timer_list timer;
static DEFINE_SPINLOCK(s);

static void tick(struct timer_list *unused)
{
	spin_lock(&s);
	spin_unlock(&s);
}

static int __init bug_init(void)
{
	timer_setup(&timer, tick, 0);
	mod_timer(&timer, jiffies + 1);
	msleep(30);
	spin_lock(&s); /* BUG inconsistent-lock-state */
	spin_unlock(&s);
	return 0;
}

static void __exit bug_exit(void)
{
	while (timer_pending(&timer))
		msleep(1);
}
