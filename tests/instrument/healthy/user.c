// SPDX-License-Identifier: GPL-2.0
/* Copies from and to user space that are as long as the memory on both sides, and some that fail. */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static int __init user_init(void)
{
	unsigned long at = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	char __user *user = (char __user *)at, *end = user + PAGE_SIZE;
	char __user *nowhere = (char __user *)(PAGE_SIZE - 8);
	char *p = kmalloc(24, GFP_KERNEL), *text;
	int value = 7;

	if (!p || IS_ERR_VALUE(at))
		return -ENOMEM;
	memset(p, 'x', 24);
	/* The last bytes of both. */
	if (copy_to_user(end - 24, p, 24) || copy_from_user(p, end - 24, 24))
		return -EFAULT;
	if (put_user(value, (int __user *)user) || get_user(value, (int __user *)user) || clear_user(user, 64))
		return -EFAULT;
	text = memdup_user(end - 24, 24);
	if (IS_ERR(text))
		return PTR_ERR(text);
	kfree(text);
	text = memdup_user_nul(end - 24, 24);
	if (IS_ERR(text) || strlen(text) != 24)
		return -EINVAL;
	kfree(text);
	text = strndup_user(user, 64);
	if (IS_ERR(text) || *text)
		return -EINVAL;
	kfree(text);
	/* Nobody's memory: nothing is left of what was allocated for it. */
	if (copy_from_user(p, nowhere, 24) != 24 || copy_to_user(nowhere, p, 24) != 24)
		return -EINVAL;
	if (memdup_user(nowhere, 24) != ERR_PTR(-EFAULT) || strndup_user(nowhere, 24) != ERR_PTR(-EFAULT))
		return -EINVAL;
	kfree(p);
	return 0;
}

static void __exit user_exit(void)
{
}

module_init(user_init);
module_exit(user_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("copies from and to user space");
