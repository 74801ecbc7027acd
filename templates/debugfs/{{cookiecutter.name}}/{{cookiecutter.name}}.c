// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/seq_file.h>

/*
 * debugfs is for developers: no promise that a file stays as it is, only root
 * reads it, and many kernels are built without. So nothing a module does may
 * depend on it, and what its functions return is not looked at: each takes the
 * error of the one before and then does nothing.
 */
static struct dentry *directory;

/* Plain variables, read and written by debugfs itself. */
static u32 howmany = 3;
static bool loud;
static atomic_t reports = ATOMIC_INIT(0);

/* A number with functions, here to refuse what makes no sense. */
static u64 percent = 50;

static int percent_get(void *data, u64 *value)
{
	*value = READ_ONCE(percent);

	return 0;
}

static int percent_set(void *data, u64 value)
{
	if (value > 100)
		return -ERANGE;
	WRITE_ONCE(percent, value);

	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(percent_fops, percent_get, percent_set, "%llu\n");

/* A text of any length: seq_file finds the room, and calls again with more. */
static int report_show(struct seq_file *report, void *unused)
{
	u32 number;

	atomic_inc(&reports);
	for (number = 1; number <= min(READ_ONCE(howmany), 1000U); number++)
		seq_printf(report, "line %u%s\n", number,
			   READ_ONCE(loud) ? "!" : "");

	return 0;
}

/* Makes report_fops from report_show(). */
DEFINE_SHOW_ATTRIBUTE(report);

static int __init {{ cookiecutter.ident }}_init(void)
{
	directory = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_u32("howmany", 0644, directory, &howmany);
	debugfs_create_bool("loud", 0644, directory, &loud);
	debugfs_create_atomic_t("reports", 0444, directory, &reports);
	debugfs_create_file("report", 0444, directory, NULL, &report_fops);
	/* _unsafe: the functions made by DEFINE_DEBUGFS_ATTRIBUTE guard themselves. */
	debugfs_create_file_unsafe("percent", 0644, directory, NULL,
				   &percent_fops);
	pr_info("see /sys/kernel/debug/%s\n", KBUILD_MODNAME);

	return 0;
}

/* The directory with all that is in it; waits for those who are inside. */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	debugfs_remove(directory);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
