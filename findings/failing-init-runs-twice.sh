#!/bin/sh
# insmod can run a failing init function twice.
#
# Versions: kmod 30, BusyBox 1.35.0, Linux 6.1.176 (Debian 12).
# A good guess: one insmod is one run of init; where init returns an error, nothing more happens.
# What happens: BusyBox answers every failure of finit_module(2) with a second try by init_module(2), so a failing
#   init runs twice, with all its side effects. kmod's insmod does so for -ENOSYS alone, which it takes for "this
#   kernel has no finit_module".
# Seen: "init runs" 2 times with BusyBox for -EIO and for -ENOSYS, 1 time with kmod for -EIO, 2 times for -ENOSYS.
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
	pr_info("init runs\n");
	return ret;
}
module_init(failing_init);
MODULE_LICENSE("GPL");
C
kmod 30
guest "$ko" <<'GUEST'
for ret in -5 -38; do
    insmod-30 failing.ko ret=$ret
    echo "kmod $ret: $(log | grep -c 'init runs')"
    insmod failing.ko ret=$ret
    echo "busybox $ret: $(log | grep -c 'init runs')"
done
GUEST
holds "kmod, -EIO" '^kmod -5: 1$' "$said"
holds "BusyBox, -EIO" '^busybox -5: 2$' "$said"
holds "kmod, -ENOSYS" '^kmod -38: 2$' "$said"
holds "BusyBox, -ENOSYS" '^busybox -38: 2$' "$said"
