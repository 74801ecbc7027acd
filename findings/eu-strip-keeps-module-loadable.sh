#!/bin/sh
# A module stripped by elfutils' eu-strip loads; the same stripped by binutils' strip does not.
#
# Versions: binutils 2.40, elfutils 0.188 (Debian 12), Linux 6.1.176.
# A good guess: strip without options makes a .ko useless, whoever's strip it is; only `strip -g` is safe.
# What happens: eu-strip keeps the symbol table and the relocations of a relocatable file and drops its debug
#   information, so the plain call is right. GNU strip drops the symbol table and every relocation with exit status
#   0, and the kernel answers "module has no symbols (stripped?)".
# Seen: eu-strip: status 0, .symtab there, loads. strip: status 0, no .symtab, "Invalid module format".
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs readelf
headers 6.1
image
module hello <<'C'
#include <linux/module.h>
static int __init hello_init(void)
{
	pr_info("init runs\n");
	return 0;
}
static void __exit hello_exit(void)
{
}
module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE("GPL");
C
fetch bookworm elfutils=0.188-2.1 libdw1=0.188-2.1 libelf1=0.188-2.1 \
    binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2
libraries=$root/usr/lib/x86_64-linux-gnu
for strip in eu-strip x86_64-linux-gnu-strip; do
    cp "$ko" "$work/$strip.ko"
    LD_LIBRARY_PATH=$libraries "$root/usr/bin/$strip" "$work/$strip.ko" || changed "$strip exits with $?"
    saw "$strip" "$(wc -c <"$ko") bytes before, $(wc -c <"$work/$strip.ko") after"
done
holds "eu-strip" ' \.symtab ' "$(readelf -SW "$work/eu-strip.ko")"
lacks "eu-strip" ' \.debug_info ' "$(readelf -SW "$work/eu-strip.ko")"
lacks "strip" ' \.symtab ' "$(readelf -SW "$work/x86_64-linux-gnu-strip.ko")"
guest "$work/eu-strip.ko" "$work/x86_64-linux-gnu-strip.ko" <<'GUEST'
insmod eu-strip.ko
echo "eu-strip: status $?, $(log | grep -c 'init runs') runs"
rmmod hello
insmod x86_64-linux-gnu-strip.ko
echo "strip: status $?"
log | grep stripped | sort -u
GUEST
holds "eu-strip, loaded" '^eu-strip: status 0, 1 runs$' "$said"
holds "strip, loaded" '^strip: status 8$' "$said"
holds "strip, the log" 'module has no symbols (stripped?)' "$said"
