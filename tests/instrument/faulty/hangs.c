// SPDX-License-Identifier: GPL-2.0
/* Waits for ever for what could not be had. */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/slab.h>

static char *first, *second;

static int __init hangs_init(void)
{
	first = kmalloc(24, GFP_KERNEL); /* FAULT hung */
	while (!READ_ONCE(first))
		msleep(20);
	second = kmalloc(48, GFP_KERNEL); /* FAULT clean */
	if (second)
		return 0;
	kfree(first);
	return -ENOMEM;
}

static void __exit hangs_exit(void)
{
	kfree(second);
	kfree(first);
}

module_init(hangs_init);
module_exit(hangs_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("waits for ever");
