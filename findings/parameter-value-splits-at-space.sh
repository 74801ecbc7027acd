#!/bin/sh
# The second word of a module parameter's value becomes a parameter, or not, by the version of kmod.
#
# Versions: kmod 30 (Debian 12) and 34.2 (Debian 13), Linux 6.1.176.
# A good guess: the shell's quotes are enough: `insmod par.ko "s=a b"` sets s to "a b", since it is one argument.
# What happens: the kernel gets one line of text and splits it at spaces; kmod up to 33 joins its arguments with
#   spaces and quotes nothing. With kmod 30 s is "a", and "b" is taken for the parameter b: where the module has a
#   bool of that name, it is switched on without a word. kmod 34 adds the double quotes that the kernel understands.
#   Single quotes are never understood, by either.
# Seen: kmod 30: s=a b=Y. kmod 34: s="a b" b=N. With "'a b'": s='a on both.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

headers 6.1
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
kmod 30
kmod 34
guest "$ko" <<'GUEST'
now=/sys/module/par/parameters
for kmod in 30 34; do
    for value in 'a b' '"a b"' "'a b'"; do
        insmod-$kmod par.ko "s=$value"
        echo "$kmod, given $value: status $?, s is <$(cat $now/s)>, b is $(cat $now/b)"
        rmmod par
    done
done
GUEST
holds "kmod 30" '^30, given a b: status 0, s is <a>, b is Y$' "$said"
holds "kmod 34" '^34, given a b: status 0, s is <a b>, b is N$' "$said"
holds "kmod 30, double quotes" '^30, given "a b": status 0, s is <a b>, b is N$' "$said"
holds "kmod 34, double quotes" '^34, given "a b": status 0, s is <a b>, b is N$' "$said"
holds "kmod 30, single quotes" "^30, given 'a b': status 0, s is <'a>" "$said"
holds "kmod 34, single quotes" "^34, given 'a b': status 0, s is <'a>" "$said"
