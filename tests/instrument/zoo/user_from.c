// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	unsigned long user = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	char *p = kmalloc(24, GFP_KERNEL);

	if (!p || IS_ERR_VALUE(user))
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(p);
	if (copy_from_user(p, (void __user *)user, 32 + zero)) /* BUG slab-out-of-bounds */
		sink = 1;
	kfree(p);
	return 0;
}

static void __exit bug_exit(void)
{
}
