// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static int __init bug_init(void)
{
	unsigned long user = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	char *p = kmalloc(24, GFP_KERNEL);

	if (!p || IS_ERR_VALUE(user))
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
	if (copy_to_user((void __user *)user, p, 24 + zero)) /* BUG use-after-free */
		sink = 1;
	return 0;
}

static void __exit bug_exit(void)
{
}
