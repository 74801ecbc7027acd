// SPDX-License-Identifier: GPL-2.0
#include "bug.h"

static DEFINE_SPINLOCK(lock);

static int __init bug_init(void)
{
	unsigned long user = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	char buffer[24];

	if (IS_ERR_VALUE(user))
		return -ENOMEM;
	spin_lock(&lock);
	if (copy_from_user(buffer, (void __user *)user, 16 + zero)) /* BUG sleeping-while-atomic */
		sink = buffer[3];
	spin_unlock(&lock);
	return 0;
}

static void __exit bug_exit(void)
{
}
