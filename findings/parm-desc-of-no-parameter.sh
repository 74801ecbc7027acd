#!/bin/sh
# modinfo lists a parameter that the module does not have.
#
# Versions: Kbuild of Linux 6.1.176 and 6.12.95 (Debian 12 and its backports), gcc 12, kmod's modinfo.
# A good guess: MODULE_PARM_DESC with a name that is no parameter does not compile, or modpost says so.
# What happens: it is a plain string in .modinfo that nothing compares. With W=1, too, the build is silent; modinfo
#   prints the misspelt name with the description and without a type, and the real one without its description.
# Seen: "count: (int)" and "cuont:how many", and no line of the build's output that names cuont.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs modinfo
for kernel in 6.1 6.12; do
    headers $kernel
    module hello <<'C'
#include <linux/module.h>
static int count;
module_param(count, int, 0444);
MODULE_PARM_DESC(cuont, "how many");
MODULE_DESCRIPTION("a parameter");
MODULE_LICENSE("GPL");
C
    rm "$ko"
    touch "$work/$kernel/hello/hello.c"
    output=$(kbuild "$work/$kernel/hello" W=1 modules)
    lacks "$kernel, the build" 'cuont\|warning\|WARNING' "$output"
    parameters=$(modinfo -F parm "$ko")
    saw "$kernel" "$parameters"
    holds "$kernel" '^count: (int)$' "$parameters"
    holds "$kernel" '^cuont:how many$' "$parameters"
done
