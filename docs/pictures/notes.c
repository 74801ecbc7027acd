// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps a copy of a parameter: loads, does its work, unloads, and has two bugs
 * that no load shows. The pictures and docs/sanitizer.md are of this module.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *text = "milk";
module_param(text, charp, 0444);
MODULE_PARM_DESC(text, "What is to be kept");

static char *note;


/* One byte too few, for the final NUL. */
static int __init notes_init(void)
{
	note = kmalloc(strlen(text), GFP_KERNEL);
	if (!note)
		return -ENOMEM;
	strcpy(note, text);
	pr_info("%s\n", note);

	return 0;
}
module_init(notes_init);

static void __exit notes_exit(void)
{
	pr_info("goodbye from exit\n");
}
module_exit(notes_exit);

MODULE_DESCRIPTION("Keeps a copy of a parameter");
MODULE_LICENSE("GPL");
