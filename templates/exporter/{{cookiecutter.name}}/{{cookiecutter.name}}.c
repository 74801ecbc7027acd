// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>

#include "{{ cookiecutter.name }}.h"

/* Other modules call in whenever they like, also two at once. */
static DEFINE_MUTEX(tally_lock);
static int tally;

/*
 * Not static, and known to all of the kernel from here on: hence the module's
 * name in front. With _GPL, only modules with a licence that goes with the GPL
 * can use it.
 */
int {{ cookiecutter.kernel_name }}_tally_add(int number)
{
	int sum;

	mutex_lock(&tally_lock);
	tally += number;
	sum = tally;
	mutex_unlock(&tally_lock);

	return sum;
}
EXPORT_SYMBOL_GPL({{ cookiecutter.kernel_name }}_tally_add);

static int __init {{ cookiecutter.ident }}_init(void)
{
	pr_info("ready for users\n");

	return 0;
}

/*
 * The kernel counts the modules that use our functions: rmmod of this one fails
 * as long as there is one, so nobody can be inside them here.
 */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	pr_info("the last tally is %d\n", tally);
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
