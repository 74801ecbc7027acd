// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* poke BUS ADDRESS REGISTER VALUE: writes a byte into a chip, past its driver. */

#include <fcntl.h>
#include <linux/i2c-dev.h>
#include <linux/i2c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int count, char **words)
{
	union i2c_smbus_data data;
	struct i2c_smbus_ioctl_data call = {
		.read_write = I2C_SMBUS_WRITE,
		.size = I2C_SMBUS_BYTE_DATA,
		.data = &data,
	};
	int bus;

	if (count != 5)
		return 2;
	call.command = strtoul(words[3], NULL, 0);
	data.byte = strtoul(words[4], NULL, 0);
	bus = open(words[1], O_RDWR);
	/* FORCE: the chip has a driver. */
	if (bus < 0 ||
	    ioctl(bus, I2C_SLAVE_FORCE, strtoul(words[2], NULL, 0)) ||
	    ioctl(bus, I2C_SMBUS, &call)) {
		perror("poke");
		return 1;
	}

	return 0;
}
