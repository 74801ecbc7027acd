// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_SPINLOCK(s);

static int __init bug_init(void)
{
	spin_lock(&s);
	spin_unlock(&s);
	spin_unlock(&s); /* BUG bad-unlock-balance */
	return 0;
}

static void __exit bug_exit(void)
{
}
