// SPDX-License-Identifier: {{ cookiecutter.spdx }}

#include <linux/device.h>
#include <linux/i2c.h>
#include <linux/kernel.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/sysfs.h>
#include <linux/version.h>

/* A function with one argument was .probe_new until 6.3, and is .probe since. */
#if KERNEL_VERSION(6, 3, 0) > LINUX_VERSION_CODE
#define probe probe_new
#endif

/* The registers of a thermometer that nobody sells. */
#define SENSOR_TEMPERATURE 0x00 /* degrees, signed */
#define SENSOR_LIMIT 0x01 /* where it gives the alarm */

/* Each of these is a few bytes on the bus, and sleeps meanwhile. */
static ssize_t sensor_read(struct device *dev, u8 number, char *page)
{
	int value = i2c_smbus_read_byte_data(to_i2c_client(dev), number);

	/* 0 to 255, or an errno: the chip is gone, the bus is stuck. */
	if (value < 0)
		return value;

	return sysfs_emit(page, "%d\n", (s8)value);
}

static ssize_t temperature_show(struct device *dev,
				struct device_attribute *attr, char *page)
{
	return sensor_read(dev, SENSOR_TEMPERATURE, page);
}

static DEVICE_ATTR_RO(temperature);

static ssize_t limit_show(struct device *dev, struct device_attribute *attr,
			  char *page)
{
	return sensor_read(dev, SENSOR_LIMIT, page);
}

static ssize_t limit_store(struct device *dev, struct device_attribute *attr,
			   const char *text, size_t size)
{
	s8 wanted;
	int err;

	err = kstrtos8(text, 10, &wanted);
	if (err)
		return err;
	err = i2c_smbus_write_byte_data(to_i2c_client(dev), SENSOR_LIMIT,
					wanted);

	return err ? err : size;
}

static DEVICE_ATTR_RW(limit);

static struct attribute *sensor_attrs[] = {
	&dev_attr_temperature.attr,
	&dev_attr_limit.attr,
	NULL,
};
ATTRIBUTE_GROUPS(sensor);

/* Called for each chip: is it there, and can its bus do what is needed? */
static int sensor_probe(struct i2c_client *client)
{
	int value;

	if (!i2c_check_functionality(client->adapter, I2C_FUNC_SMBUS_BYTE_DATA))
		return -EOPNOTSUPP;
	value = i2c_smbus_read_byte_data(client, SENSOR_TEMPERATURE);
	if (value < 0)
		return value;
	dev_info(&client->dev, "%d degrees\n", (s8)value);

	return 0;
}

/*
 * Nothing on the bus tells that a chip is there. A board's device tree does, or
 * root: echo example-sensor 0x48 > /sys/bus/i2c/devices/i2c-0/new_device
 */
static const struct i2c_device_id sensor_ids[] = {
	{ "example-sensor" },
	{},
};
MODULE_DEVICE_TABLE(i2c, sensor_ids);

static const struct of_device_id sensor_of_match[] = {
	{ .compatible = "example,sensor" },
	{},
};
MODULE_DEVICE_TABLE(of, sensor_of_match);

static struct i2c_driver sensor_driver = {
	.probe = sensor_probe,
	.id_table = sensor_ids,
	.driver = {
		.name = KBUILD_MODNAME,
		.of_match_table = sensor_of_match,
		.dev_groups = sensor_groups,
	},
};

/* Makes an init that registers the driver, and an exit that undoes it. */
module_i2c_driver(sensor_driver);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
