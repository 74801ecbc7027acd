#!/bin/sh
# The kernel blames the first element of an array parameter, whichever was wrong.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: the log names the value that is wrong, as it does for a parameter that is no array.
# What happens: the kernel cuts the list at its commas in place, and prints what is left of it up to the first cut.
#   For `a=1,2,x` it says that 1 is invalid for a, and so it does for an element too many, an empty one, and a
#   trailing comma; only for one too many a line with the limit stands before it.
# Seen: "par: `1' invalid for parameter `a'" for 1,2,x and for 1,2, and for 1,2,3,4 of an array of three.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module par <<'C'
#include <linux/module.h>
static int a[3];
module_param_array(a, int, NULL, 0444);
static int __init par_init(void)
{
	return 0;
}
static void __exit par_exit(void)
{
}
module_init(par_init);
module_exit(par_exit);
MODULE_LICENSE("GPL");
C
    guest "$ko" <<'GUEST'
for list in 1,2,x 1,2, 1,2,3,4; do
    log >/dev/null
    insmod par.ko a=$list 2>/dev/null
    echo "a=$list: status $?: $(log | grep -v -e taint | tr '\n' ' ')"
done
GUEST
    holds "$kernel, wrong third" "^a=1,2,x: status 22:.*par: .1' invalid for parameter .a' \$" "$said"
    holds "$kernel, trailing comma" "^a=1,2,: status 22:.*par: .1' invalid for parameter .a' \$" "$said"
    holds "$kernel, too many" "^a=1,2,3,4: status 22: a: can only take 3 arguments.*par: .1' invalid for parameter .a' \$" "$said"
done
