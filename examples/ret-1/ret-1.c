// SPDX-License-Identifier: GPL-2.0-only

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

/*
 * Runs once, when the module is loaded. 0 would keep it loaded. This negative
 * number makes the kernel remove the module again, after init has run: its line
 * is in the log, the module is not in the list. -1 is -EPERM, so insmod says
 * "Operation not permitted" although no permission is missing.
 */
static int __init ret_1_init(void)
{
	pr_info("hello from init\n");

	return -1;
}

/* Never runs: the module is never loaded for longer than init takes. */
static void __exit ret_1_exit(void)
{
	pr_info("goodbye from exit\n");
}

module_init(ret_1_init);
module_exit(ret_1_exit);

MODULE_DESCRIPTION("Its init runs, prints and returns -1: the module does not stay loaded");
MODULE_AUTHOR("the kscaffold authors");
MODULE_LICENSE("GPL");
