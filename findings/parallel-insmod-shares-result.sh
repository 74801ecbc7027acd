#!/bin/sh
# Two insmod of the same file at the same time both succeed on 6.12, and one fails on 6.1.
#
# Versions: kmod 30, Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: the second insmod of a module that is there, or on its way, fails with "File exists".
# What happens: newer kernels join two finit_module(2) calls that read the same inode: the second waits for the first
#   and gets its result. So on 6.12 both exit with 0 while init ran once, and the test "exactly one of the two may
#   win" passes on 6.1 only. A copy of the file is another inode: there the second gets EEXIST on 6.12, too.
# Seen: statuses 0 and 1 on 6.1, 0 and 0 on 6.12, with one "init runs" each; 0 and 1 for the copy on both.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module slow <<'C'
#include <linux/module.h>
#include <linux/delay.h>
static int __init slow_init(void)
{
	pr_info("init runs\n");
	msleep(4000);
	return 0;
}
static void __exit slow_exit(void)
{
}
module_init(slow_init);
module_exit(slow_exit);
MODULE_LICENSE("GPL");
C
    kmod 30
    guest "$ko" <<'GUEST'
cp slow.ko copy.ko
for file in slow copy; do
    (insmod-30 slow.ko; echo $? >/first) &
    sleep 1.5
    insmod-30 $file.ko
    second=$?
    wait
    echo "$file: $(cat /first) $second, $(log | grep -c 'init runs') runs"
    rmmod slow
done
GUEST
    case $kernel in 6.1) second=1 ;; 6.12) second=0 ;; esac
    holds "$kernel, the same file" "^slow: 0 $second, 1 runs\$" "$said"
    holds "$kernel, a copy" '^copy: 0 1, 1 runs$' "$said"
done
