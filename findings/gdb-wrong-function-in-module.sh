#!/bin/sh
# gdb names the wrong function for a module's own symbol on 6.12, and the right one on 6.1.
#
# Versions: gdb 13.1, gcc 12 (Debian 12), Linux 6.1.176 and 6.12.95.
# A good guess: `gdb hello.ko -ex 'info line hello_init'` shows the line of hello_init; a .ko is an object file like
#   any.
# What happens: gdb gives the sections of a relocatable file places of their own only if all have address 0 in the
#   file. The 6.12 build leaves sections with other addresses in the .ko; gdb then leaves all where they are, that
#   is the code sections on top of each other, and takes one of them for each address. addr2line -j SECTION is
#   right.
# Seen: 6.1: line of hello_init. 6.12: line of hello_exit, and for hello_open as well; right again in a copy whose .data
#   and __patchable_function_entries were given address 0 by objcopy.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs addr2line nm objcopy
fetch bookworm gdb-minimal=13.1-3
gdb=$root/usr/bin/gdb
"$gdb" --version >/dev/null 2>&1 || untried "a library of gdb-minimal is missing on this machine"
for kernel in 6.1 6.12; do
    headers $kernel
    module hello <<'C'
#include <linux/module.h>
static noinline int hello_open(int n)
{
	pr_info("open %d\n", n);
	return n + 1;
}
static int __init hello_init(void)
{
	return hello_open(2) - 3;
}
static void __exit hello_exit(void)
{
	hello_open(3);
}
module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE("GPL");
C
    output=$("$gdb" -nx -batch -ex 'info line hello_init' -ex 'info line hello_open' "$ko" 2>&1 | sed 's|of ".*/|of "|')
    saw "$kernel" "$output"
    address=$(nm "$ko" | sed -n 's/ t hello_init$//p')
    output2=$(addr2line -f -s -e "$ko" -j .init.text "0x$address")
    saw "$kernel addr2line" "$output2"
    holds "$kernel, addr2line" '^hello_init$' "$output2"
    case $kernel in
    6.1)
        holds "6.1, init" '<hello_init>' "$output"
        holds "6.1, open" '<hello_open>' "$output"
        ;;
    6.12)
        lacks "6.12, init" '<hello_init>' "$output"
        lacks "6.12, open" '<hello_open>' "$output"
        holds "6.12, both" '<hello_exit>' "$output"
        objcopy --change-section-address .data=0 --change-section-address __patchable_function_entries=0 \
            "$ko" "$work/copy.ko"
        output=$("$gdb" -nx -batch -ex 'info line hello_init' "$work/copy.ko" 2>&1 | sed 's|of ".*/|of "|')
        saw "6.12, a copy with addresses of 0" "$output"
        holds "6.12, the copy" '<hello_init>' "$output"
        ;;
    esac
done
