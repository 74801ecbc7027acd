#!/bin/sh
# A slab cache that a module made is not in /proc/slabinfo, and a second one of its name is no error.
#
# Versions: Linux 6.1.176 and 6.12.95 (Debian 12 and its backports).
# A good guess: after kmem_cache_create("my_own_cache", ...) /proc/slabinfo has that line until the cache is
#   destroyed, and creating it twice fails; so a forgotten kmem_cache_destroy shows in a comparison of slabinfo.
# What happens: the kernel merges caches of like size into one, whose first name is all that slabinfo shows; the new
#   name is a link in /sys/kernel/slab. The same name a second time gives a cache as well, on both kernels.
# Seen: 2 caches, 0 lines in slabinfo, 1 link in /sys/kernel/slab.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    image
    module caches <<'C'
#include <linux/module.h>
#include <linux/slab.h>
static int __init caches_init(void)
{
	struct kmem_cache *first = kmem_cache_create("my_own_cache", 40, 0, 0, NULL);
	struct kmem_cache *second = kmem_cache_create("my_own_cache", 40, 0, 0, NULL);

	pr_info("caches: %d\n", !!first + !!second);
	return 0;
}
module_init(caches_init);
MODULE_LICENSE("GPL");
C
    guest "$ko" <<'GUEST'
insmod caches.ko
log | grep '^caches: [0-9]'
echo "slabinfo: $(grep -c my_own_cache /proc/slabinfo)"
echo "sysfs: $(ls -l /sys/kernel/slab | grep -c 'my_own_cache -> :')"
GUEST
    holds "$kernel, made" '^caches: 2$' "$said"
    holds "$kernel, slabinfo" '^slabinfo: 0$' "$said"
    holds "$kernel, sysfs" '^sysfs: 1$' "$said"
done
