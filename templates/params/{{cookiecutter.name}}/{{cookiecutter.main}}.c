// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
{% if cookiecutter._others %}

#include "{{ cookiecutter.name }}.h"
{% endif %}

/*
 * Set before init runs: insmod {{ cookiecutter.name }}.ko {{ cookiecutter._parameters[0].name }}=VALUE
 * The last argument is the mode of the parameter's file in /sys/module, 0 makes
 * none. A value that the type can't hold is refused, and init does not run.
 */
{% for p in cookiecutter._parameters %}
{% if p.variable != p.name %}
/* Holds the opposite: setting {{ p.name }} clears it. */
{% endif %}
{{ p.declaration }}
{{ p.macro }}
{% if p.description %}
MODULE_PARM_DESC({{ p.name }}, "{{ p.description | c_string }}");
{% endif %}

{% endfor %}
/*
 * Runs once, when the module is loaded. 0 keeps it loaded; a negative errno such
 * as -ENOMEM makes the kernel remove it again, and exit does not run then.
 * __init: the memory of this function is freed afterwards.
 */
static int __init {{ cookiecutter.ident }}_init(void)
{
{% if cookiecutter._others %}
	int err;

{% endif %}
	pr_info("hello from init\n");
{% for p in cookiecutter._parameters %}
	pr_info("{{ p.name }} = {{ p.conversion }}\n", {{ p.value }});
{% endfor %}
{% for other in cookiecutter._others %}

	err = {{ other.ident }}_start();
	if (err)
{% if loop.first %}
		return err;
{% else %}
		goto stop_{{ loop.previtem.ident }};
{% endif %}
{% endfor %}

	return 0;
{% for other in cookiecutter._others[:-1] | reverse %}
{% if loop.first %}

{% endif %}
stop_{{ other.ident }}:
	{{ other.ident }}_stop();
{% if loop.last %}

	return err;
{% endif %}
{% endfor %}
}

/* Runs once, when the module is removed: undo what init did, in reverse order. */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
{% for other in cookiecutter._others | reverse %}
	{{ other.ident }}_stop();
{% endfor %}
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
