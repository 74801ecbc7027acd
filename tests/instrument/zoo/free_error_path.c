// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static char *a, *b;

static int setup(void)
{
	return zero - 1;
}

static int __init bug_init(void)
{
	int error;

	a = kmalloc(16, GFP_KERNEL);
	b = kmalloc(16, GFP_KERNEL);
	error = setup();
	if (error)
		kfree(b);
	return 0;
}

static void __exit bug_exit(void)
{
	kfree(a);
	kfree(b); /* BUG double-free */
}
