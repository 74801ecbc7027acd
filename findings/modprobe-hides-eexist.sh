#!/bin/sh
# modprobe is silent and successful when a module's init function fails with -EEXIST.
#
# Versions: kmod 30 (Debian 12) and 34.2 (Debian 13), Linux 6.1.176.
# A good guess: modprobe fails whenever the module is not loaded afterwards.
# What happens: modprobe takes EEXIST from the kernel for "this module is loaded already", which it counts as success.
#   It can't tell that apart from an init function that hands on the -EEXIST of a taken name (a second
#   debugfs or sysfs entry, device or cache). No message, exit status 0, no module. insmod tells it.
# Seen: modprobe 0 with nothing on the terminal, insmod 1 with "File exists", no module in either case.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

headers 6.1
image
module failing <<'C'
#include <linux/module.h>
static int __init failing_init(void)
{
	pr_info("init runs\n");
	return -EEXIST;
}
module_init(failing_init);
MODULE_LICENSE("GPL");
C
kmod 30
kmod 34
guest "$ko" <<'GUEST'
mkdir -p /lib/modules/$(uname -r)
cp failing.ko /lib/modules/$(uname -r)/
depmod-30 2>/dev/null
for kmod in 30 34; do
    modprobe-$kmod failing >/output 2>&1
    echo "modprobe $kmod: status $?, $(wc -l </output) lines, $(log | grep -c 'init runs') runs, $(grep -c failing /proc/modules) loaded"
done
insmod-30 failing.ko 2>&1
echo "insmod 30: status $?"
GUEST
holds "modprobe 30" '^modprobe 30: status 0, 0 lines, 1 runs, 0 loaded$' "$said"
holds "modprobe 34" '^modprobe 34: status 0, 0 lines, 1 runs, 0 loaded$' "$said"
holds "insmod" '^insmod 30: status 1$' "$said"
