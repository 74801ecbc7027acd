// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/input.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/printk.h>
#include <linux/sysfs.h>

/* The keys of a pad with nine digits. */
static const unsigned int keys[] = {
	KEY_1, KEY_2, KEY_3, KEY_4, KEY_5, KEY_6, KEY_7, KEY_8, KEY_9,
};

/*
 * `echo 5 > press`: the key 5 goes down and up. A driver of a real pad would do
 * the same in the interrupt that the pad raises.
 */
static ssize_t press_store(struct device *dev, struct device_attribute *attr,
			   const char *text, size_t size)
{
	struct input_dev *pad = dev_get_drvdata(dev);
	unsigned int digit;
	int err;

	err = kstrtouint(text, 10, &digit);
	if (err)
		return err;
	if (digit < 1 || digit > ARRAY_SIZE(keys))
		return -ERANGE;

	/* input_sync() ends what happened at one time. */
	input_report_key(pad, keys[digit - 1], 1);
	input_sync(pad);
	input_report_key(pad, keys[digit - 1], 0);
	input_sync(pad);

	return size;
}

static DEVICE_ATTR_WO(press);

static struct attribute *pad_attrs[] = {
	&dev_attr_press.attr,
	NULL,
};
ATTRIBUTE_GROUPS(pad);

/* devm_: unregistered and given back when the device goes. */
static int pad_probe(struct platform_device *pdev)
{
	struct input_dev *pad;
	unsigned int i;
	int err;

	pad = devm_input_allocate_device(&pdev->dev);
	if (!pad)
		return -ENOMEM;

	pad->name = KBUILD_MODNAME;
	pad->id.bustype = BUS_VIRTUAL;
	/* What it does not say here that it can, the input core lets not pass. */
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		input_set_capability(pad, EV_KEY, keys[i]);
	platform_set_drvdata(pdev, pad);

	/* Programs see it from here on. */
	err = input_register_device(pad);
	if (err)
		return err;

	return 0;
}

static struct platform_driver pad_driver = {
	.probe = pad_probe,
	.driver = {
		.name = KBUILD_MODNAME,
		.dev_groups = pad_groups,
	},
};

/* Stands for the hardware: see the template `platform`. */
static struct platform_device *board;

static int __init {{ cookiecutter.ident }}_init(void)
{
	int err;

	err = platform_driver_register(&pad_driver);
	if (err)
		return err;

	board = platform_device_register_simple(KBUILD_MODNAME,
						PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(board)) {
		platform_driver_unregister(&pad_driver);
		return PTR_ERR(board);
	}
	pr_info("see /sys/devices/platform/%s\n", KBUILD_MODNAME);

	return 0;
}

static void __exit {{ cookiecutter.ident }}_exit(void)
{
	platform_device_unregister(board);
	platform_driver_unregister(&pad_driver);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
