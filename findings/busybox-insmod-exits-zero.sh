#!/bin/sh
# BusyBox's insmod can report a failure and exit with 0.
#
# Versions: BusyBox 1.35.0 (Debian 12), Linux 6.1.176.
# A good guess: insmod exits with 1, or with something else that is not 0, when the kernel refuses the module.
# What happens: BusyBox exits with the errno, and a process keeps eight bits of it: an init function that returns one
#   of the kernel's internal numbers (-512 is -ERESTARTSYS, what an interrupted wait returns) gives exit status 0
#   beside a message, and the module is not there. -513 gives 1, -517 (probe deferral) gives 5, which reads as EIO.
# Seen: "can't insert 'failing.ko': Unknown error 512", exit status 0, no module.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

headers 6.1
image
module failing <<'C'
#include <linux/module.h>
static int ret;
module_param(ret, int, 0);
static int __init failing_init(void)
{
	return ret;
}
module_init(failing_init);
MODULE_LICENSE("GPL");
C
guest "$ko" <<'GUEST'
for ret in -22 -512 -517; do
    insmod failing.ko ret=$ret
    echo "$ret: status $?, $(grep -c failing /proc/modules) loaded"
done
GUEST
holds "a usual errno" '^-22: status 22, 0 loaded$' "$said"
holds "ERESTARTSYS" '^-512: status 0, 0 loaded$' "$said"
holds "the message" "can't insert 'failing.ko': Unknown error 512" "$said"
holds "EPROBE_DEFER" '^-517: status 5, 0 loaded$' "$said"
