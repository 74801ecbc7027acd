#!/bin/sh
# srcversion does not change with a header in another folder, though the module's code does.
#
# Versions: Kbuild of Linux 6.1.176 and 6.12.95 (Debian 12 and its backports), kmod's modinfo.
# A good guess: srcversion is a checksum of the sources, so another srcversion means other code and the same one the
#   same code; it is what dkms compares to tell whether a module is the one that is installed.
# What happens: modpost sums the sources and, of the included files, those in the folder of the source alone. A
#   project with an include/ folder gets the same srcversion for other code. And without MODULE_VERSION() Debian's
#   kernels give a module no srcversion at all.
# Seen: include/number.h changed: same srcversion, other code. near.h beside the source changed: another srcversion.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs modinfo objcopy
for kernel in 6.1 6.12; do
    headers $kernel
    directory=$work/$kernel/hello
    mkdir -p "$directory/include"
    build() { # build NUMBER NEAR LINE: $version is the srcversion, $code a checksum of the code
        echo "static inline int number(void) { return $1; }" >"$directory/include/number.h"
        echo "#define NEAR $2" >"$directory/near.h"
        module hello <<C
#include <linux/module.h>
#include "include/number.h"
#include "near.h"
static int __init hello_init(void)
{
	return number();
}
module_init(hello_init);
$3
MODULE_LICENSE("GPL");
C
        version=$(modinfo -F srcversion "$ko")
        objcopy -O binary -j .init.text "$ko" "$work/code"
        code=$(cksum <"$work/code")
        saw "$kernel" "number $1, near $2: srcversion ${version:-absent}, code $code"
    }
    build 1 1 'MODULE_VERSION("1");'
    first=$version first_code=$code
    build 2 1 'MODULE_VERSION("1");'
    same "$kernel, include/number.h" "$first" "$version"
    [ "$code" != "$first_code" ] || changed "$kernel: the code is the same"
    build 2 2 'MODULE_VERSION("1");'
    [ "$version" != "$first" ] || changed "$kernel: near.h does not count"
    build 2 2 ''
    same "$kernel, without MODULE_VERSION" '' "$version"
done
