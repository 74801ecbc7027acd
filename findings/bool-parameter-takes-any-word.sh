#!/bin/sh
# A bool module parameter looks at the first letter: 0x1 and 01 are false, "nonsense" is accepted.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: a bool takes y, n, 1, 0, on, off, as documented, and anything else is refused as for an int.
# What happens: any word that begins with y, Y, t, T or 1 is true, with n, N, f, F or 0 false; after an o the second
#   letter decides. So 0x1 and 01, which an int parameter reads as one, are false, "no-idea" and "10" pass, and only
#   words that begin otherwise are refused. An int parameter reads 010 as eight.
# Seen: 0x1=N 01=N 10=Y yoghurt=Y tabasco=Y nonsense=N onion=Y; oops and 2 are refused; n=010 is 8.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module par <<'C'
#include <linux/module.h>
static bool b;
static int n;
static char *s = "-";
module_param(b, bool, 0444);
module_param(n, int, 0444);
module_param(s, charp, 0444);
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
for word in 0x1 01 10 yoghurt tabasco nonsense onion oops 2; do
    if insmod par.ko b=$word; then
        echo "b=$word: $(cat /sys/module/par/parameters/b)"
        rmmod par
    else
        echo "b=$word: refused"
    fi
done 2>/dev/null
insmod par.ko n=010
echo "n=010: $(cat /sys/module/par/parameters/n)"
GUEST
    for seen in b=0x1:N b=01:N b=10:Y b=yoghurt:Y b=tabasco:Y b=nonsense:N b=onion:Y b=oops:refused b=2:refused n=010:8; do
        holds "$kernel" "^${seen%:*}: ${seen#*:}\$" "$said"
    done
done
