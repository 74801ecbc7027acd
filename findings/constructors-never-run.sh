#!/bin/sh
# A module's constructor functions are linked in and never called.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports), gcc 12.
# A good guess: __attribute__((constructor)) runs before init, as in a program, or does not build or load.
# What happens: gcc puts the function into .init_array; the kernel's loader knows that section, but calls it only
#   with CONFIG_CONSTRUCTORS, which comes with GCOV or KASAN and is off in Debian's kernels. Build, modpost and load
#   say nothing. What compilers add by constructors (coverage counters, sanitizers' globals) is dead then, too.
# Seen: an .init_array section in the .ko, "constructor called: 0".
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs readelf
for kernel in 6.1 6.12; do
    headers $kernel
    image
    module constructor <<'C'
#include <linux/module.h>
static int called;
static void __attribute__((constructor)) before_init(void)
{
	called = 1;
}
static int __init constructor_init(void)
{
	pr_info("constructor called: %d\n", called);
	return 0;
}
module_init(constructor_init);
MODULE_LICENSE("GPL");
C
    lacks "$kernel, the build" 'warning\|WARNING' "$(cat "$work/log")"
    holds "$kernel, the section" ' \.init_array ' "$(readelf -SW "$ko")"
    guest "$ko" <<'GUEST'
insmod constructor.ko
echo "status $?"
log | grep 'constructor called'
GUEST
    holds "$kernel, the load" '^status 0$' "$said"
    holds "$kernel, the call" '^constructor called: 0$' "$said"
done
