// SPDX-License-Identifier: GPL-2.0-only

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>

/*
 * Set before init runs: insmod params.ko howmany=VALUE
 * The last argument is the mode of the parameter's file in /sys/module, 0 makes
 * none. A value that the type can't hold is refused, and init does not run.
 */
static int howmany = 1;
module_param(howmany, int, 0444);
MODULE_PARM_DESC(howmany, "how many there are");

static char *whom = "world";
module_param(whom, charp, 0444);
MODULE_PARM_DESC(whom, "who is greeted");

static bool loud;
module_param(loud, bool, 0644);
MODULE_PARM_DESC(loud, "whether to shout");

/* Holds the opposite: setting quiet clears it. */
static bool not_quiet = true;
module_param_named(quiet, not_quiet, invbool, 0444);
MODULE_PARM_DESC(quiet, "the opposite of what its variable holds");

static unsigned char level = 200;
module_param(level, byte, 0444);
MODULE_PARM_DESC(level, "a number from 0 to 255");

static unsigned long long size = 0x100000000ULL;
module_param(size, ullong, 0444);
MODULE_PARM_DESC(size, "more than 32 bits");

/*
 * Runs once, when the module is loaded. 0 keeps it loaded; a negative errno such
 * as -ENOMEM makes the kernel remove it again, and exit does not run then.
 * __init: the memory of this function is freed afterwards.
 */
static int __init params_init(void)
{
	pr_info("hello from init\n");
	pr_info("howmany = %d\n", howmany);
	pr_info("whom = %s\n", whom);
	pr_info("loud = %d\n", loud);
	pr_info("quiet = %d\n", !not_quiet);
	pr_info("level = %d\n", level);
	pr_info("size = %llu\n", size);

	return 0;
}

/* Runs once, when the module is removed: undo what init did, in reverse order. */
static void __exit params_exit(void)
{
	pr_info("goodbye from exit\n");
}

module_init(params_init);
module_exit(params_exit);

MODULE_DESCRIPTION("Parameters of several types, set when the module is loaded");
MODULE_AUTHOR("the kscaffold authors");
MODULE_LICENSE("GPL");
