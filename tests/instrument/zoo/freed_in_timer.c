// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

struct object {
	int count;
};

static struct object *o;
static struct timer_list timer;

static void tick(struct timer_list *unused)
{
	o->count++; /* BUG use-after-free */
}

static void timer_shutdown_all(void)
{
	while (timer_pending(&timer))
		msleep(1);
}

static int __init bug_init(void)
{
	o = kzalloc(sizeof(*o), GFP_KERNEL);
	if (!o)
		return -ENOMEM;
	timer_setup(&timer, tick, 0);
	mod_timer(&timer, jiffies + 1);
	kfree(o);
	msleep(30);
	return 0;
}

static void __exit bug_exit(void)
{
	timer_shutdown_all();
}
