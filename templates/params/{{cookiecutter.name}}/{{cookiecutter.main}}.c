// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
{% if cookiecutter._showcase %}
#include <linux/kernel.h>
{% endif %}
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
{% if p.count %}
/* Up to {{ p.count }}, with commas: {{ p.name }}=A,B. {{ p.given }} is told how many came. */
{% endif %}
{% if p.variable != p.name %}
/* Holds the opposite: setting {{ p.name }} clears it. */
{% endif %}
{{ p.declaration }}
{{ p.macro }}
{% if p.description %}
MODULE_PARM_DESC({{ p.name }}, "{{ p.description | c_string }}");
{% endif %}

{% endfor %}
{% if cookiecutter._showcase %}
/*
 * A charp points to the kernel's copy of the text; this is an array of our own,
 * and a text that doesn't fit is refused.
 */
static char tag[16] = "none";
module_param_string(tag, tag, sizeof(tag), 0444);
MODULE_PARM_DESC(tag, "a text of up to 15 characters");

/*
 * A callback looks at the value first. It runs before init, and at each write to
 * the file of the parameter; never two at once, the kernel has a lock for that
 * (kernel_param_lock(), for code of ours that reads what a write could change).
 * Here `wanted` is complete before `percent` gets it.
 */
static unsigned int percent = 50;

static int percent_set(const char *text, const struct kernel_param *param)
{
	unsigned int wanted;
	int err;

	err = kstrtouint(text, 0, &wanted);
	if (err)
		return err;
	if (wanted > 100) {
		pr_err("%s is more than 100\n", param->name);
		return -ERANGE;
	}
	WRITE_ONCE(*(unsigned int *)param->arg, wanted);

	return 0;
}

static const struct kernel_param_ops percent_ops = {
	.set = percent_set,
	.get = param_get_uint,
};

module_param_cb(percent, &percent_ops, &percent, 0644);
/* module_param() says the type, for modinfo; a callback has to do it itself. */
__MODULE_PARM_TYPE(percent, "uint");
MODULE_PARM_DESC(percent, "0 to 100");

{% endif %}
/*
 * Runs once, when the module is loaded. 0 keeps it loaded; a negative errno such
 * as -ENOMEM makes the kernel remove it again, and exit does not run then.
 * __init: the memory of this function is freed afterwards.
 */
static int __init {{ cookiecutter.ident }}_init(void)
{
{% if cookiecutter._arrays %}
	unsigned int i;
{% endif %}
{% if cookiecutter._others %}
	int err;
{% endif %}
{% if cookiecutter._arrays or cookiecutter._others %}

{% endif %}
	pr_info("hello from init\n");
{% for p in cookiecutter._parameters %}
{% if p.count %}
	for (i = 0; i < {{ p.given }}; i++)
		pr_info("{{ p.name }}[%u] = {{ p.conversion }}\n", i, {{ p.value }});
{% else %}
	pr_info("{{ p.name }} = {{ p.conversion }}\n", {{ p.value }});
{% endif %}
{% endfor %}
{% if cookiecutter._showcase %}
	pr_info("tag = %s\n", tag);
	pr_info("percent = %u\n", percent);
{% endif %}
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
