// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	char *p;

	if (!page)
		return -ENOMEM;
	p = page_address(page);
	__free_page(page);
	p[zero] = 1; /* BUG use-after-free */
	return 0;
}

static void __exit bug_exit(void)
{
}
