#!/bin/sh
# Two modules that need each other build without a word, and then no module at all gets into the index.
#
# Versions: modpost of Linux 6.1.176 and 6.12.95, kmod's depmod 30 (Debian 12).
# A good guess: modpost refuses the circle, or depmod leaves the two out of modules.dep and lists the others.
# What happens: modpost fills in "depends" both ways and is content. depmod reports the circle, exits with 1 and
#   writes nothing: a new /lib/modules folder stays without modules.dep, so modprobe finds none of its modules, the
#   innocent ones included.
# Seen: depends: bb and aa; "Found 2 modules in dependency cycles!", status 1, no modules.dep, modprobe of the third
#   module: not found.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

fetch bookworm kmod=30+20221128-1
for name in depmod modprobe modinfo; do
    ln -sf "$root/bin/kmod" "$work/$name"
done
for kernel in 6.1 6.12; do
    headers $kernel
    directory=$work/$kernel/circle
    mkdir -p "$directory"
    for pair in aa:bb bb:aa; do
        cat >"$directory/${pair%:*}.c" <<C
#include <linux/module.h>
int ${pair%:*}_number(void);
int ${pair#*:}_number(void);
int ${pair%:*}_number(void)
{
	return 1;
}
EXPORT_SYMBOL_GPL(${pair%:*}_number);
static int __init start(void)
{
	return ${pair#*:}_number();
}
module_init(start);
MODULE_DESCRIPTION("half of a circle");
MODULE_LICENSE("GPL");
C
    done
    printf '#include <linux/module.h>\nMODULE_DESCRIPTION("alone");\nMODULE_LICENSE("GPL");\n' >"$directory/third.c"
    echo 'obj-m := aa.o bb.o third.o' >"$directory/Kbuild"
    output=$(kbuild "$directory" modules)
    lacks "$kernel, the build" 'WARNING\|ERROR' "$output"
    depends=$("$work/modinfo" -F depends "$directory/aa.ko" "$directory/bb.ko" | tr '\n' ' ')
    saw "$kernel" "depends: $depends"
    same "$kernel, depends" 'bb aa ' "$depends"
    installed=$work/installed-$kernel/lib/modules/6.9.0
    mkdir -p "$installed/extra"
    cp "$directory"/*.ko "$installed/extra/"
    status=0
    output=$("$work/depmod" -b "$work/installed-$kernel" 6.9.0 2>&1) || status=$?
    saw "$kernel" "$(echo "$output" | grep ycle)
depmod: status $status"
    same "$kernel, depmod" 1 "$status"
    [ ! -e "$installed/modules.dep" ] || changed "$kernel: there is a modules.dep"
    output=$("$work/modprobe" -d "$work/installed-$kernel" -S 6.9.0 --show-depends third 2>&1) || true
    saw "$kernel" "$(echo "$output" | sed 's| in directory.*||')"
    holds "$kernel, modprobe" 'Module third not found' "$output"
done
