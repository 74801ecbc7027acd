#!/bin/sh
# On s390x the kernel reads address 0 without a fault; only a write there is one.
#
# Versions: Linux 6.1.176 for s390x (Debian 12), QEMU 7.2.
# A good guess: a module that uses a null pointer crashes, whatever it does with the pointer.
# What happens: the first page of the kernel's own address space is the processor's prefix area (the lowcore), so a read
#   through a null pointer succeeds and gives its bytes. Low-address protection stops writes to its first bytes. A driver
#   that only reads through a null pointer seems to be right on s390x.
# Seen: init that reads goes on, init that writes is killed with "Unable to handle kernel pointer dereference".
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"

needs make s390x-linux-gnu-gcc qemu-system-s390x
arches=s390x,amd64
release=6.1.0-50 version=6.1.176-1
fetch bookworm linux-headers-$release-common=$version linux-headers-$release-s390x=$version \
    linux-image-$release-s390x=$version linux-kbuild-6.1:amd64=$version \
    busybox-static=1:1.35.0-4+deb12u1+b1
build=$root/usr/src/linux-headers-$release-s390x
echo "include $root/usr/src/linux-headers-$release-common/Makefile" >"$build/Makefile"

mkdir "$work/zero"
cat >"$work/zero/zero.c" <<'C'
#include <linux/module.h>
static bool writes;
module_param(writes, bool, 0444);
static int *volatile nothing;
static int __init zero_init(void)
{
	if (writes)
		*nothing = 1;
	else
		pr_info("zero: read well, %d bytes\n", (int)sizeof(*nothing) + 0 * *nothing);
	return 0;
}
static void __exit zero_exit(void)
{
}
module_init(zero_init);
module_exit(zero_exit);
MODULE_LICENSE("GPL");
C
echo 'obj-m := zero.o' >"$work/zero/Kbuild"
make -C "$build" M="$work/zero" ARCH=s390 CROSS_COMPILE=s390x-linux-gnu- CC=s390x-linux-gnu-gcc modules >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    untried "zero.ko could not be built"
}

mkdir -p "$work/initramfs/bin" "$work/initramfs/proc"
cp "$root/bin/busybox" "$work/zero/zero.ko" "$work/initramfs/"
cat >"$work/initramfs/init" <<'INIT'
#!/busybox sh
/busybox mount -t proc proc /proc
exec >/dev/console 2>&1
echo '<<<'
/busybox insmod /zero.ko && echo "read: loaded"
/busybox rmmod zero
/busybox insmod /zero.ko writes=1 && echo "write: loaded" || echo "write: did not come back"
/busybox dmesg | /busybox grep -E 'zero: read|Unable to handle'
echo '>>>'
/busybox poweroff -f
INIT
chmod +x "$work/initramfs/init"
python3 - "$work/initramfs" >"$work/initramfs.cpio" <<'CPIO'
import os, stat, sys
out, root = sys.stdout.buffer, sys.argv[1]
def entry(name, mode, data=b"", major=0, minor=0):
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
    out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))
for name in ("bin", "proc", "dev"):
    entry(name, 0o40755)
entry("dev/console", 0o20600, b"", 5, 1)
for name in ("busybox", "zero.ko", "init"):
    entry(name, 0o100755, open(os.path.join(root, name), "rb").read())
entry("TRAILER!!!", 0)
CPIO
timeout 200 qemu-system-s390x -machine s390-ccw-virtio -accel tcg -cpu max -smp 1 -m 512 -nodefaults -display none \
    -no-reboot -serial "file:$work/console" -kernel "$root/boot/vmlinuz-$release-s390x" \
    -initrd "$work/initramfs.cpio" -append "console=ttyS1 quiet loglevel=0 panic=-1" </dev/null || true
grep -q '>>>' "$work/console" || {
    tail -n 20 "$work/console" >&2
    untried "the guest did not come to its end"
}
said=$(tr -d '\r' <"$work/console" | sed -n '/^<<<$/,/^>>>$/p' | sed '/^<<<$/d; /^>>>$/d')
saw 6.1-s390x "$said"
holds "a read, of init" '^read: loaded$' "$said"
holds "a read, of the log" 'zero: read well, 4 bytes$' "$said"
lacks "a write, of insmod" '^write: loaded$' "$said"
holds "a write, of the log" 'Unable to handle kernel pointer dereference' "$said"
