// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	char *p = vzalloc(5000);

	if (!p)
		return -ENOMEM;
	vfree(p);
	sink = p[zero]; /* BUG use-after-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
