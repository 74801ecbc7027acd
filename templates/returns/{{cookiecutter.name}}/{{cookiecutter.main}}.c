// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>

static int code{{ ' = %d' % cookiecutter._code if cookiecutter._code }};
module_param(code, int, 0444);
MODULE_PARM_DESC(code, "what init returns: 0, or an errno such as -12");

/*
 * What the kernel does with the value that init returns:
 *
 *   0         the module stays loaded, insmod exits with 0.
 *   negative  the kernel removes the module again, at once and without running
 *             exit: init itself must have undone what it did. insmod prints the
 *             text of that errno, which need not fit: -1 is -EPERM, "Operation
 *             not permitted", and has nothing to do with permissions here.
 *   positive  the module stays loaded, and the kernel's log complains with a
 *             warning: some code forgot the minus sign.
 */
static int __init {{ cookiecutter.ident }}_init(void)
{
	pr_info("init returns %d\n", code);

	return code;
}

/* Runs when the module is removed; never after an init that failed. */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	pr_info("exit runs\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
