#!/bin/sh
# objcopy --dump-section, which only reads, takes the signature off a module.
#
# Versions: binutils 2.40 (Debian 12), on a signed module of Debian's own linux-image 6.1.176.
# A good guess: `objcopy --dump-section .modinfo=FILE MODULE.ko` writes FILE and leaves the module alone.
# What happens: without an output name objcopy writes the input anew, in place, and what stands behind the ELF's end
#   is not copied: the appended signature is gone, with exit status 0 and no word. With /dev/null as output name the
#   module stays as it was.
# Seen: modinfo tells sig_hashalgo sha256 before and nothing after; the file is shorter and lacks the last 28 bytes
#   "~Module signature appended~".
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"

needs modinfo
fetch bookworm linux-image-6.1.0-50-cloud-amd64=6.1.176-1
original=$(find "$root" -name dummy.ko)
fetch bookworm binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2
objcopy() {
    LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu "$root/usr/bin/x86_64-linux-gnu-objcopy" "$@"
}
saw objcopy "$(objcopy --version | head -n 1)"
cp "$original" "$work/dummy.ko"
same "before" sha256 "$(modinfo -F sig_hashalgo "$work/dummy.ko")"
objcopy --dump-section .modinfo="$work/modinfo" "$work/dummy.ko" /dev/null
cmp "$original" "$work/dummy.ko" || changed "with /dev/null the module changed"
objcopy --dump-section .modinfo="$work/modinfo" "$work/dummy.ko"
saw "bytes" "$(wc -c <"$original") before, $(wc -c <"$work/dummy.ko") after"
same "after" '' "$(modinfo -F sig_hashalgo "$work/dummy.ko")"
lacks "the last bytes" 'Module signature appended' "$(tail -c 28 "$work/dummy.ko" | tr -d '\0')"
