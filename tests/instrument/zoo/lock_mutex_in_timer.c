// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct timer_list timer;
static DEFINE_MUTEX(a);

static void tick(struct timer_list *unused)
{
	mutex_lock(&a); /* BUG sleeping-while-atomic */
	mutex_unlock(&a);
}

static int __init bug_init(void)
{
	timer_setup(&timer, tick, 0);
	mod_timer(&timer, jiffies + 1);
	msleep(30);
	return 0;
}

static void __exit bug_exit(void)
{
	while (timer_pending(&timer))
		msleep(1);
}
