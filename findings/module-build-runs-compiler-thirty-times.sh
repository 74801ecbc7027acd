#!/bin/sh
# make of one module from one source starts the C compiler some thirty times, and again at each build.
#
# Versions: Kbuild of Linux 6.1.176 and 6.12.95 (Debian 12 and its backports), GCC 12.2, GNU make 4.3.
# A good guess: three times (the source, the .mod.c, perhaps a question of its version); what the compiler can do was
#   asked when the kernel was configured, and is in its .config.
# What happens: the kernel's Makefiles try some thirty options on /dev/null (cc-option, as-instr) whenever make reads
#   them, also where one source is touched and built again. Each try is a shell, mkdir, a compiler, an assembler and rm:
#   most of what such a build does. Nothing keeps the answers.
# Seen: 1 source and 1 .mod.c compiled beside 29 (6.1) and 33 (6.12) tries; a second build with the source written anew:
#   1 source, as many tries again.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs gcc-12
real=$(command -v gcc-12)
mkdir "$work/bin"
for name in gcc-12 x86_64-linux-gnu-gcc-12; do
    printf '#!/bin/sh\necho "$*" >>"%s"\nexec "%s" "$@"\n' "$work/calls" "$real" >"$work/bin/$name"
    chmod +x "$work/bin/$name"
done
PATH=$work/bin:$PATH
for kernel in 6.1 6.12; do
    headers $kernel
    for turn in first second; do
        : >"$work/calls"
        module one <<'C'
#include <linux/module.h>
MODULE_LICENSE("GPL");
C
        tries=$(grep -c -e '-c -x .*/dev/null\|-c -x assembler' "$work/calls" || true)
        source=$(grep -c -e ' -c .*one\.c$' "$work/calls" || true)
        of_modpost=$(grep -c -e ' -c .*one\.mod\.c$' "$work/calls" || true)
        saw "$kernel" "$turn build: $source source, $of_modpost .mod.c, $tries tries of options"
        same "$kernel, sources" "1" "$source"
        [ "$tries" -ge 25 ] || changed "$kernel, $turn build: $tries tries"
    done
done
