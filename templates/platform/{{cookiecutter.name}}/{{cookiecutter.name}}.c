// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/printk.h>
#include <linux/sysfs.h>

#define BRIGHTEST 255

/* What the driver keeps for each of its devices. */
struct lamp {
	struct mutex lock; /* held by who uses the lamp */
	unsigned int brightness;
};

static ssize_t brightness_show(struct device *dev,
			       struct device_attribute *attr, char *page)
{
	struct lamp *lamp = dev_get_drvdata(dev);
	unsigned int now;

	mutex_lock(&lamp->lock);
	now = lamp->brightness;
	mutex_unlock(&lamp->lock);

	return sysfs_emit(page, "%u\n", now);
}

static ssize_t brightness_store(struct device *dev,
				struct device_attribute *attr, const char *text,
				size_t size)
{
	struct lamp *lamp = dev_get_drvdata(dev);
	unsigned int wanted;
	int err;

	err = kstrtouint(text, 0, &wanted);
	if (err)
		return err;
	if (wanted > BRIGHTEST)
		return -ERANGE;

	/* A driver of a real lamp would write to its registers here. */
	mutex_lock(&lamp->lock);
	lamp->brightness = wanted;
	mutex_unlock(&lamp->lock);

	return size;
}

static DEVICE_ATTR_RW(brightness);

static struct attribute *lamp_attrs[] = {
	&dev_attr_brightness.attr,
	NULL,
};
ATTRIBUTE_GROUPS(lamp);

/*
 * Called for each device that goes with this driver. What is got with devm_ is
 * given back by the driver core when the device goes, or when probe fails: so
 * there is no function that undoes it.
 */
static int lamp_probe(struct platform_device *pdev)
{
	struct lamp *lamp;

	lamp = devm_kzalloc(&pdev->dev, sizeof(*lamp), GFP_KERNEL);
	if (!lamp)
		return -ENOMEM;
	mutex_init(&lamp->lock);
	platform_set_drvdata(pdev, lamp);
	dev_info(&pdev->dev, "a lamp\n");

	return 0;
}

/* On a board a node of its device tree says so: compatible = "example,lamp"; */
static const struct of_device_id lamp_of_match[] = {
	{ .compatible = "example,lamp" },
	{},
};
MODULE_DEVICE_TABLE(of, lamp_of_match);

static struct platform_driver lamp_driver = {
	.probe = lamp_probe,
	.driver = {
		.name = KBUILD_MODNAME,
		.of_match_table = lamp_of_match,
		/* The core makes the files before anybody hears of the device. */
		.dev_groups = lamp_groups,
	},
};

/*
 * No bus finds a platform device: the firmware or a board's code tells of it.
 * Here the module makes one itself, which goes with the driver by its name. For
 * a real device leave that out, and init and exit are one line:
 * module_platform_driver(lamp_driver);
 */
static struct platform_device *board;

static int __init {{ cookiecutter.ident }}_init(void)
{
	int err;

	err = platform_driver_register(&lamp_driver);
	if (err)
		return err;

	board = platform_device_register_simple(KBUILD_MODNAME,
						PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(board)) {
		platform_driver_unregister(&lamp_driver);
		return PTR_ERR(board);
	}
	pr_info("see /sys/devices/platform/%s\n", KBUILD_MODNAME);

	return 0;
}

static void __exit {{ cookiecutter.ident }}_exit(void)
{
	platform_device_unregister(board);
	platform_driver_unregister(&lamp_driver);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
