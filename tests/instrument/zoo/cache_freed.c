// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct kmem_cache *cache;

static int __init bug_init(void)
{
	char *p;

	cache = kmem_cache_create("bug_objects", 40, 0, 0, NULL);
	if (!cache)
		return -ENOMEM;
	p = kmem_cache_alloc(cache, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	kmem_cache_free(cache, p);
	sink = p[8 + zero]; /* BUG use-after-free */
	return 0;
}

static void __exit bug_exit(void)
{
	kmem_cache_destroy(cache);
}
