#!/bin/sh
# Switching initcall_debug on in sysfs has no effect on the modules that are loaded afterwards.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: `echo 1 >/sys/module/kernel/parameters/initcall_debug` makes the next insmod log "calling" and
#   "initcall ... returned", since the parameter is writable and module init goes by do_one_initcall.
# What happens: the two lines come from tracepoint callbacks that are registered once, at boot, if the option is on
#   then. The file takes the 1, reads back Y, and nothing follows. With initcall_debug on the command line the lines
#   are there.
# Seen: the parameter reads Y, 0 lines; with the option at boot 2 lines.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module hello <<'C'
#include <linux/module.h>
static int __init hello_init(void)
{
	return 0;
}
module_init(hello_init);
MODULE_LICENSE("GPL");
C
    for append in '' initcall_debug; do
        guest "$ko" <<'GUEST'
echo 1 >/sys/module/kernel/parameters/initcall_debug
insmod hello.ko
echo "$(cat /sys/module/kernel/parameters/initcall_debug), $(log | grep -c 'calling *hello_init\|initcall hello_init.*returned 0') lines"
GUEST
        case $append in '') lines=0 ;; *) lines=2 ;; esac
        holds "$kernel ${append:-in sysfs}" "^Y, $lines lines\$" "$said"
    done
done
