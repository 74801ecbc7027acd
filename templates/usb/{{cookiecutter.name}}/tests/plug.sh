#!/bin/sh
# SPDX-License-Identifier: {{ cookiecutter.spdx }}
# plug.sh in|out: a "Gadget Zero", made of files: Documentation/usb/gadget_configfs.rst

set -e
gadgets=/sys/kernel/config/usb_gadget
zero=$gadgets/zero

if [ "$1" = out ]; then
	echo > $zero/UDC
	exit
fi
[ -d $gadgets ] || mount -t configfs none /sys/kernel/config
if [ ! -d $zero ]; then
	mkdir $zero
	echo 0x0525 > $zero/idVendor
	echo 0xa4a0 > $zero/idProduct
	mkdir $zero/functions/Loopback.0 $zero/configs/c.1
	ln -s $zero/functions/Loopback.0 $zero/configs/c.1/
fi
echo dummy_udc.0 > $zero/UDC
