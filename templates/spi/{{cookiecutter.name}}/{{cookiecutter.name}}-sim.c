// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/spi/spi.h>

/*
 * A controller and the chip behind it, both made of memory: to try the driver
 * where there is no hardware.
 */
static unsigned char which = 0xc5;
module_param(which, byte, 0444);
MODULE_PARM_DESC(which, "what the chip's first register holds");

static u8 registers[2];
static bool has_number; /* the chip knows which register is meant */
static u8 number;

/* The chip is selected or let go of: a message begins or ends. */
static void bus_set_cs(struct spi_device *spi, bool high)
{
	has_number = false;
}

/* One byte in each direction at the same time, as on the wires. */
static u8 chip_byte(u8 byte)
{
	u8 *place = &registers[number & 1];

	if (!has_number) {
		number = byte;
		has_number = true;
		return 0;
	}
	if (!(number & 0x80))
		*place = byte;

	return *place;
}

static int bus_transfer(struct spi_controller *bus, struct spi_device *spi,
			struct spi_transfer *transfer)
{
	const u8 *to_chip = transfer->tx_buf;
	u8 *from_chip = transfer->rx_buf;
	unsigned int i;
	u8 byte;

	for (i = 0; i < transfer->len; i++) {
		byte = chip_byte(to_chip ? to_chip[i] : 0);
		if (from_chip)
			from_chip[i] = byte;
	}

	/* 0: it is done; a controller that takes its time returns 1. */
	return 0;
}

static struct spi_board_info chip_info = {
	.modalias = "chip",
	.max_speed_hz = 1000000,
};

static struct device *parent;
static struct spi_controller *bus;

static int __init {{ cookiecutter.ident }}_sim_init(void)
{
	int err = -ENOMEM;

	registers[0] = which;
	parent = root_device_register(KBUILD_MODNAME);
	if (IS_ERR(parent))
		return PTR_ERR(parent);

	/* The name under spi_alloc_master(), and under spi_alloc_host() today. */
	bus = __spi_alloc_controller(parent, 0, false);
	if (!bus)
		goto unregister_parent;
	bus->num_chipselect = 1;
	bus->bus_num = -1; /* any */
	bus->set_cs = bus_set_cs;
	bus->transfer_one = bus_transfer;

	err = spi_register_controller(bus);
	if (err) {
		spi_controller_put(bus);
		goto unregister_parent;
	}
	if (!spi_new_device(bus, &chip_info)) {
		err = -ENODEV;
		goto unregister_bus;
	}
	pr_info("a chip on spi%d\n", bus->bus_num);

	return 0;

unregister_bus:
	spi_unregister_controller(bus);
unregister_parent:
	root_device_unregister(parent);

	return err;
}

/* With the bus go the devices on it, and it itself when nobody uses it. */
static void __exit {{ cookiecutter.ident }}_sim_exit(void)
{
	spi_unregister_controller(bus);
	root_device_unregister(parent);
}

module_init({{ cookiecutter.ident }}_sim_init);
module_exit({{ cookiecutter.ident }}_sim_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}, its hardware simulated");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
