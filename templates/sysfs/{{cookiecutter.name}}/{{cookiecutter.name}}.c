// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/sysfs.h>

/* Two files' functions can run at once, and each by several callers. */
static DEFINE_MUTEX(temperature_lock);
static int temperature = 20; /* in degrees Celsius */

#define COLDEST (-273)
#define HOTTEST 10000

/* One file, one value. sysfs gives a page to write to; the text ends in \n. */
static ssize_t celsius_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *page)
{
	int now;

	mutex_lock(&temperature_lock);
	now = temperature;
	mutex_unlock(&temperature_lock);

	return sysfs_emit(page, "%d\n", now);
}

/*
 * The text ends in NUL here, and kstrtoint() takes the \n of echo. What is
 * returned: a negative errno, or how much was taken. Anything less than `size`
 * and the caller writes the rest once more.
 */
static ssize_t celsius_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *text, size_t size)
{
	int wanted;
	int err;

	err = kstrtoint(text, 10, &wanted);
	if (err)
		return err;
	if (wanted < COLDEST || wanted > HOTTEST)
		return -ERANGE;

	mutex_lock(&temperature_lock);
	temperature = wanted;
	mutex_unlock(&temperature_lock);

	return size;
}

/* The name says the mode: RW is 0644, RO 0444, WO 0200. */
static struct kobj_attribute celsius = __ATTR_RW(celsius);

static ssize_t fahrenheit_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *page)
{
	int now;

	mutex_lock(&temperature_lock);
	now = temperature;
	mutex_unlock(&temperature_lock);

	return sysfs_emit(page, "%d\n", now * 9 / 5 + 32);
}

static struct kobj_attribute fahrenheit = __ATTR_RO(fahrenheit);

static ssize_t reset_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *text, size_t size)
{
	bool yes;
	int err;

	err = kstrtobool(text, &yes);
	if (err)
		return err;
	if (yes) {
		mutex_lock(&temperature_lock);
		temperature = 20;
		mutex_unlock(&temperature_lock);
	}

	return size;
}

static struct kobj_attribute reset = __ATTR_WO(reset);

static struct attribute *temperature_attributes[] = {
	&celsius.attr,
	&fahrenheit.attr,
	&reset.attr,
	NULL,
};

static const struct attribute_group temperature_group = {
	.attrs = temperature_attributes,
};

/*
 * A driver of a device hands its attributes to the driver core (.dev_groups),
 * which makes them before user space hears of the device. This module has no
 * device, so it makes a directory of its own in /sys/kernel.
 */
static struct kobject *directory;

static int __init {{ cookiecutter.ident }}_init(void)
{
	int err;

	directory = kobject_create_and_add(KBUILD_MODNAME, kernel_kobj);
	if (!directory)
		return -ENOMEM;

	err = sysfs_create_group(directory, &temperature_group);
	if (err) {
		kobject_put(directory);
		return err;
	}
	pr_info("see /sys/kernel/%s\n", KBUILD_MODNAME);

	return 0;
}

/*
 * Removing a file waits until nobody is inside its show and store any more. A
 * program that still has it open gets ENODEV from then on.
 */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	sysfs_remove_group(directory, &temperature_group);
	kobject_put(directory);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
