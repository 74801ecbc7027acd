#!/bin/sh
# `make clean` of an external module deletes hand-written files, and in folders that are no part of the build.
#
# Versions: Kbuild of Linux 6.1.176 and 6.12.95 (Debian 12 and its backports), GNU make.
# A good guess: clean removes what the build made: objects, .ko, .mod.c, .cmd files, Module.symvers.
# What happens: Kbuild searches the whole folder of the module, hidden folders and all but a few names of version
#   control included, and deletes by pattern: *.a *.i *.s *.o *.ll *.dtb *.su, *.mod, *.mod.c, *.lex.c, *.tab.c,
#   *.tab.h, *.asn1.c. An entry.s, a vendor's libfirmware.a, a parser.tab.c that somebody keeps, and the static
#   libraries of a Python environment beside the sources are gone. *.S, *.so and *.o_shipped stay.
# Seen: of 12 files that no build made 9 were deleted by `make -C HEADERS M=DIR clean`.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

for kernel in 6.1 6.12; do
    headers $kernel
    module hello <<'C'
#include <linux/module.h>
MODULE_LICENSE("GPL");
C
    directory=$work/$kernel/hello
    mkdir -p "$directory/.venv/lib" "$directory/docs"
    gone='entry.s vendor.a notes.ll parser.tab.c parser.tab.h names.lex.c docs/table.i docs/extra.o .venv/lib/library.a'
    stays='entry2.S vendor.so blob.o_shipped'
    for name in $gone $stays; do echo 'written by hand' >"$directory/$name"; done
    kbuild "$directory" clean >/dev/null
    for name in $gone; do
        [ ! -e "$directory/$name" ] || changed "$kernel: $name is still there"
        saw "$kernel" "deleted: $name"
    done
    for name in $stays; do
        [ -e "$directory/$name" ] || changed "$kernel: $name is gone"
        saw "$kernel" "still there: $name"
    done
done
