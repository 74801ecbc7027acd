#!/bin/sh
# Debian's small QEMU for microvm can't run anywhere but on KVM.
#
# Versions: qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3 (Debian 12).
# A good guess: qemu-system-x86_64-microvm is qemu-system-x86_64 with fewer devices, so it takes the same machine and
#   the same -accel, and starts faster.
# What happens: it links 10 libraries where the other links 51, and knows no accelerator but kvm: -accel tcg is refused
#   as invalid, and -accel help does not list it. Where there is no KVM only the large program starts a microvm.
# Seen: "Accelerators supported in QEMU binary: kvm", and "invalid accelerator tcg".
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
needs ldd

fetch bookworm qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3

small=$root/usr/bin/qemu-system-x86_64-microvm
listed=$(ldd "$small" 2>&1) || untried "this machine lacks libraries of QEMU's"
case $listed in *"not found"*) untried "this machine lacks libraries of QEMU's" ;; esac
help=$("$small" -accel help)
saw "-accel help" "$help"
holds "kvm" "^kvm\$" "$help"
lacks "tcg" "^tcg\$" "$help"
refused=$("$small" -machine microvm -accel tcg -display none 2>&1) && changed "-accel tcg is taken"
saw "-accel tcg" "$refused"
holds "refused" "invalid accelerator tcg" "$refused"
same "libraries of the small one" 10 "$(echo "$listed" | grep -c .)"
