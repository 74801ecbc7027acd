#!/bin/sh
# depmod -A calls an index up to date that misses a new module and lists one that is gone.
#
# Versions: kmod 30 (Debian 12), modules of linux-image 6.1.176.
# A good guess: `depmod -A` (--quick) runs depmod whenever the modules are others than in modules.dep.
# What happens: -A compares times only: it runs when some .ko is newer than modules.dep. A module that comes with an
#   older time (cp -p, tar, a package, a cached build) is not seen, and a deleted one leaves nothing to be compared.
#   Status 0 both times.
# Seen: veth.ko copied with its own time: not in modules.dep. dummy.ko deleted: still in modules.dep.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"

fetch bookworm kmod=30+20221128-1 linux-image-6.1.0-50-cloud-amd64=6.1.176-1
ln -s "$root/bin/kmod" "$work/depmod"
installed=$work/installed/lib/modules/6.9.0
mkdir -p "$installed/extra"
touch "$installed/modules.order" "$installed/modules.builtin" "$installed/modules.builtin.modinfo"
cp -p "$(find "$root" -name dummy.ko)" "$installed/extra/"
"$work/depmod" -b "$work/installed" 6.9.0
same "at first" 'extra/dummy.ko:' "$(cat "$installed/modules.dep")"
cp -p "$(find "$root" -name veth.ko)" "$installed/extra/"
rm "$installed/extra/dummy.ko"
"$work/depmod" -A -b "$work/installed" 6.9.0 || changed "depmod -A exits with $?"
saw "there is" "$(ls "$installed/extra")"
saw "modules.dep after depmod -A" "$(cat "$installed/modules.dep")"
same "after depmod -A" 'extra/dummy.ko:' "$(cat "$installed/modules.dep")"
"$work/depmod" -b "$work/installed" 6.9.0
saw "modules.dep after depmod" "$(cat "$installed/modules.dep")"
same "after depmod" 'extra/veth.ko:' "$(cat "$installed/modules.dep")"
