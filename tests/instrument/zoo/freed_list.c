// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

struct item {
	int value;
	struct list_head list;
};

static LIST_HEAD(items);

static int __init bug_init(void)
{
	struct item *it;
	int i;

	for (i = 0; i < 3 + zero; i++) {
		it = kzalloc(sizeof(*it), GFP_KERNEL);
		if (it)
			list_add(&it->list, &items);
	}
	return 0;
}

static void __exit bug_exit(void)
{
	struct item *it;

	list_for_each_entry(it, &items, list) /* BUG use-after-free */
		kfree(it);
}
