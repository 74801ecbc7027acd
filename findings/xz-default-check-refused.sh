#!/bin/sh
# A module compressed by plain xz loads with one kmod and not with the next, on the same kernel.
#
# Versions: xz 5.4 (Debian 12), kmod 30 (Debian 12) and 34.2 (Debian 13), BusyBox 1.35.0, Linux 6.12.95.
# A good guess: modprobe decompresses .ko.xz itself, so whatever xz can write it can load; newer is not worse.
# What happens: kmod 34 hands the compressed file to a kernel that says it can decompress (/sys/module/compression).
#   The kernel's xz knows CRC32 checks only, and xz writes CRC64 unless told `--check=crc32`: the load fails with
#   "Invalid argument" and the log says "decompression failed with status 6". kmod 30 and BusyBox decompress in
#   their own memory and load it; modinfo and depmod of either kmod read it.
# Seen: crc64: insmod 30 and BusyBox 0, insmod 34 1; crc32: all three 0.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs xz
headers 6.12
image
module par <<'C'
#include <linux/module.h>
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
xz --stdout "$ko" >"$work/crc64.ko.xz"
xz --stdout --check=crc32 "$ko" >"$work/crc32.ko.xz"
kmod 30
kmod 34
guest "$work/crc64.ko.xz" "$work/crc32.ko.xz" <<'GUEST'
echo "the kernel decompresses: $(cat /sys/module/compression)"
for file in crc64 crc32; do
    for insmod in insmod insmod-30 insmod-34; do
        log >/dev/null
        $insmod $file.ko.xz
        echo "$file $insmod: status $?"
        rmmod par 2>/dev/null
    done
done
insmod-34 crc64.ko.xz
log | grep decompression
GUEST
holds "the kernel's own word" '^the kernel decompresses: xz$' "$said"
holds "BusyBox" '^crc64 insmod: status 0$' "$said"
holds "kmod 30" '^crc64 insmod-30: status 0$' "$said"
holds "kmod 34" '^crc64 insmod-34: status 1$' "$said"
holds "kmod 34, crc32" '^crc32 insmod-34: status 0$' "$said"
holds "the kernel's log" '^decompression failed with status 6$' "$said"
