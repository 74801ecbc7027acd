#!/bin/sh
# Debian's kernels say nothing of a sleeping allocation and a mutex under a spinlock.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: kmalloc(GFP_KERNEL) or mutex_lock() with a spinlock held gives "BUG: sleeping function called from
#   invalid context", the line that every book shows.
# What happens: that check is CONFIG_DEBUG_ATOMIC_SLEEP, which is off. As long as the allocation finds memory and
#   the mutex is free nothing is logged, and no taint but the module's own is set. Only a call that does sleep, like
#   msleep(), is told, as "BUG: scheduling while atomic".
# Seen: no line with BUG for kmalloc and mutex_lock, one for msleep.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module atomic <<'C'
#include <linux/module.h>
#include <linux/delay.h>
#include <linux/mutex.h>
#include <linux/slab.h>
static DEFINE_SPINLOCK(lock);
static DEFINE_MUTEX(mutex);
static bool sleeps;
module_param(sleeps, bool, 0);
static int __init atomic_init(void)
{
	spin_lock(&lock);
	if (sleeps) {
		msleep(20);
	} else {
		kfree(kmalloc(100, GFP_KERNEL));
		mutex_lock(&mutex);
		mutex_unlock(&mutex);
	}
	spin_unlock(&lock);
	return 0;
}
static void __exit atomic_exit(void)
{
}
module_init(atomic_init);
module_exit(atomic_exit);
MODULE_LICENSE("GPL");
C
    guest "$ko" <<'GUEST'
insmod atomic.ko
echo "kmalloc and mutex: status $?, $(log | grep -c 'BUG:') complaints, taint $(cat /proc/sys/kernel/tainted)"
rmmod atomic
insmod atomic.ko sleeps=1
log | grep -o 'BUG: scheduling while atomic' | sort -u
GUEST
    # 12288: out of tree, not signed.
    holds "$kernel, kmalloc and mutex" '^kmalloc and mutex: status 0, 0 complaints, taint 12288$' "$said"
    holds "$kernel, msleep" '^BUG: scheduling while atomic$' "$said"
done
