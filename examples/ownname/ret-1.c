// SPDX-License-Identifier: GPL-2.0-only

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

/*
 * Runs once, when the module is loaded. 0 keeps it loaded; a negative errno such
 * as -ENOMEM makes the kernel remove it again, and exit does not run then.
 * __init: the memory of this function is freed afterwards.
 */
static int __init ownname_init(void)
{
	pr_info("hello from init\n");

	return 0;
}

/* Runs once, when the module is removed: undo what init did, in reverse order. */
static void __exit ownname_exit(void)
{
	pr_info("goodbye from exit\n");
}

module_init(ownname_init);
module_exit(ownname_exit);

MODULE_DESCRIPTION("A module with a name of its own: ownname.ko from ret-1.c");
MODULE_AUTHOR("the kscaffold authors");
MODULE_LICENSE("GPL");
