// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	rcu_read_lock();
	msleep(1); /* BUG sleeping-while-atomic */
	rcu_read_unlock();
	return 0;
}

static void __exit bug_exit(void)
{
}
