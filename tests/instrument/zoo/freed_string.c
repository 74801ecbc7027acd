// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = kmalloc(24, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	strscpy(p, "text", 24);
	kfree(p);
	sink = strcmp(p, "text"); /* BUG use-after-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
