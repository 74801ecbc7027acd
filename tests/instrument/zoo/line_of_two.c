// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

/* Two paths end with the same calls: the compiler must not make them one, with the other path's line. */
static int drop(char *p, int path)
{
	if (path > 1) {
		sink = path;
		kfree(p);
		sink = 0;
		return 0;
	}
	if (path) {
		sink = path + 2;
		kfree(p); /* BUG double-free */
		sink = 0;
		return 0;
	}
	return 1;
}

static int __init bug_init(void)
{
	char *p = kmalloc(8, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	drop(p, 2 + zero);
	drop(p, 1 + zero);
	return 0;
}

static void __exit bug_exit(void)
{
}
