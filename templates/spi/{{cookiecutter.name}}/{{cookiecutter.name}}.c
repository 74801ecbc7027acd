// SPDX-License-Identifier: {{ cookiecutter.spdx }}

#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/spi/spi.h>
#include <linux/sysfs.h>

/*
 * A chip that nobody sells, with two registers. The first byte of a message is
 * the number of a register, with the highest bit set to read from it; the second
 * is the value, in the direction that was said.
 */
#define CHIP_READ 0x80
#define CHIP_ID 0x00
#define CHIP_LEVEL 0x01
#define CHIP_WHICH 0xc5 /* what its register ID holds */

/* Select the chip, send one byte, get one byte, let go of it. It sleeps. */
static int chip_read(struct spi_device *spi, u8 number)
{
	return spi_w8r8(spi, CHIP_READ | number);
}

static int chip_write(struct spi_device *spi, u8 number, u8 value)
{
	u8 message[] = { number, value };

	return spi_write(spi, message, sizeof(message));
}

static ssize_t level_show(struct device *dev, struct device_attribute *attr,
			  char *page)
{
	int level = chip_read(to_spi_device(dev), CHIP_LEVEL);

	return level < 0 ? level : sysfs_emit(page, "%d\n", level);
}

static ssize_t level_store(struct device *dev, struct device_attribute *attr,
			   const char *text, size_t size)
{
	u8 wanted;
	int err;

	err = kstrtou8(text, 0, &wanted);
	if (err)
		return err;
	err = chip_write(to_spi_device(dev), CHIP_LEVEL, wanted);

	return err ? err : size;
}

static DEVICE_ATTR_RW(level);

static struct attribute *chip_attrs[] = {
	&dev_attr_level.attr,
	NULL,
};
ATTRIBUTE_GROUPS(chip);

/* Called for each chip. The bus has no way to say that nobody is there: ask. */
static int chip_probe(struct spi_device *spi)
{
	int err, which;

	spi->mode = SPI_MODE_0;
	spi->bits_per_word = 8;
	err = spi_setup(spi);
	if (err)
		return err;
	which = chip_read(spi, CHIP_ID);
	if (which < 0)
		return which;
	if (which != CHIP_WHICH)
		return -ENODEV;
	dev_info(&spi->dev, "a chip\n");

	return 0;
}

/* What follows the vendor in `compatible`, too: else the kernel warns. */
static const struct spi_device_id chip_ids[] = {
	{ "chip" },
	{},
};
MODULE_DEVICE_TABLE(spi, chip_ids);

/* On a board a node of its device tree says so: compatible = "example,chip"; */
static const struct of_device_id chip_of_match[] = {
	{ .compatible = "example,chip" },
	{},
};
MODULE_DEVICE_TABLE(of, chip_of_match);

static struct spi_driver chip_driver = {
	.probe = chip_probe,
	.id_table = chip_ids,
	.driver = {
		.name = KBUILD_MODNAME,
		.of_match_table = chip_of_match,
		.dev_groups = chip_groups,
	},
};

/* Makes an init that registers the driver, and an exit that undoes it. */
module_spi_driver(chip_driver);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
