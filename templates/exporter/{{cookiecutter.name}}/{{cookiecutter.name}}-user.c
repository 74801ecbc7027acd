// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>

#include "{{ cookiecutter.name }}.h"

static int number = 1;
module_param(number, int, 0444);
MODULE_PARM_DESC(number, "what is added to the tally while loaded");

/*
 * modpost sees that the function is {{ cookiecutter.name }}.ko's and writes that into this
 * module's "depends". modprobe then loads {{ cookiecutter.name }} first; insmod doesn't, and
 * the kernel refuses this module with "Unknown symbol" until it is there.
 */
static int __init {{ cookiecutter.ident }}_user_init(void)
{
	pr_info("the tally is %d\n", {{ cookiecutter.kernel_name }}_tally_add(number));

	return 0;
}

static void __exit {{ cookiecutter.ident }}_user_exit(void)
{
	pr_info("the tally is %d again\n", {{ cookiecutter.kernel_name }}_tally_add(-number));
}

module_init({{ cookiecutter.ident }}_user_init);
module_exit({{ cookiecutter.ident }}_user_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}, a user of its functions");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
