#!/bin/sh
# A kernel has about 140 dynamic major numbers, and 6.1 has 125 dynamic misc devices.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: majors have twelve bits, so alloc_chrdev_region can be called some 4000 times; misc devices have
#   minors of 20 bits.
# What happens: dynamic majors come from 254 down to 234 and from 511 down to 384, less what is taken; then EBUSY.
#   misc_register with MISC_DYNAMIC_MINOR ends with EBUSY after 125 devices on 6.1, with minors down to 0;
#   on 6.12 600 are no trouble and they count up from above 255. A module that makes a device per instance meets
#   this on 6.1 only.
# Seen: 6.1: 140 regions, 125 misc devices. 6.12: 139 regions, 600 misc devices.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module many <<'C'
#include <linux/module.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#define COUNT 600
static dev_t region[COUNT];
static struct miscdevice misc[COUNT];
static char name[COUNT][16];
static int __init many_init(void)
{
	int err = 0, made, i;

	for (made = 0; made < COUNT; made++) {
		err = alloc_chrdev_region(&region[made], 0, 1, "many");
		if (err)
			break;
	}
	pr_info("regions: %d, then %d, last major %d\n", made, err, MAJOR(region[made - 1]));
	for (i = 0; i < made; i++)
		unregister_chrdev_region(region[i], 1);
	for (made = 0; made < COUNT; made++) {
		sprintf(name[made], "many%d", made);
		misc[made].minor = MISC_DYNAMIC_MINOR;
		misc[made].name = name[made];
		err = misc_register(&misc[made]);
		if (err)
			break;
	}
	pr_info("misc: %d, then %d, last minor %d\n", made, err, misc[made - 1].minor);
	for (i = 0; i < made; i++)
		misc_deregister(&misc[i]);
	return 0;
}
module_init(many_init);
MODULE_LICENSE("GPL");
C
    guest "$ko" <<'GUEST'
insmod many.ko
log | grep '^regions\|^misc'
GUEST
    # How many are taken at boot depends on the guest's devices.
    holds "$kernel, regions" '^regions: 1[34][0-9], then -16, last major 384$' "$said"
    case $kernel in
    6.1) holds "6.1, misc" '^misc: 12[0-9], then -16, last minor 0$' "$said" ;;
    6.12) holds "6.12, misc" '^misc: 600, then 0, last minor 8[0-9][0-9]$' "$said" ;;
    esac
done
