// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static struct kmem_cache *cache;
static void *p;

static int __init bug_init(void)
{
	cache = kmem_cache_create("bug_objects", 40, 0, 0, NULL);
	if (!cache)
		return -ENOMEM;
	p = kmem_cache_alloc(cache, GFP_KERNEL); /* BUG memory-leak */
	return 0;
}

static void __exit bug_exit(void)
{
}
