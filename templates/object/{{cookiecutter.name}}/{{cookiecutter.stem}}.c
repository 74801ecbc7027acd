// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* The module's name, not this file's: all objects of a module share it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>

#include "{{ cookiecutter.name }}.h"

/* Not static: another object of the module calls it. 0, or a negative errno. */
int {{ cookiecutter.ident }}_start(void)
{
	pr_info("{{ cookiecutter.stem }} starts\n");

	return 0;
}

void {{ cookiecutter.ident }}_stop(void)
{
	pr_info("{{ cookiecutter.stem }} stops\n");
}
