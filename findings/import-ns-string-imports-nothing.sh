#!/bin/sh
# MODULE_IMPORT_NS("X"), as 6.13 and later want it, compiles on 6.12 and imports nothing.
#
# Versions: Kbuild of Linux 6.12.95 (Debian's backports for 12), gcc 12.
# A good guess: 6.12 wants the bare name, so the string does not compile, or it works as well.
# What happens: 6.12 turns its argument into a string itself, so the quotes become part of the namespace's name. The
#   compiler is content; modpost says that the module does not import the namespace that the source names on its last
#   line, and modinfo would tell it with quotes. Where no symbol of the namespace is used yet, all is silent.
# Seen: with a symbol: "uses symbol crypto_cipher_setkey from namespace CRYPTO_INTERNAL, but does not import it".
#   Without: builds, import_ns is "CRYPTO_INTERNAL" with the quotes. Bare: builds, no quotes.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

needs modinfo
headers 6.12
directory=$work/import
mkdir -p "$directory"
echo 'obj-m := import.o' >"$directory/Kbuild"
build() { # build NAMESPACE BODY: $output, and $imports as modinfo tells it
    cat >"$directory/import.c" <<C
#include <linux/module.h>
extern int crypto_cipher_setkey(void *tfm, const u8 *key, unsigned int keylen);
static int __init import_init(void)
{
	return $2;
}
module_init(import_init);
MODULE_DESCRIPTION("imports");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS($1);
C
    status=0
    output=$(kbuild "$directory" modules) || status=$?
    imports=
    [ "$status" != 0 ] || imports=$(modinfo -F import_ns "$directory/import.ko")
    saw "$1, $2" "make: status $status, import_ns: $imports"
    saw "$1, $2" "$(echo "$output" | grep 'error\|modpost: module\|warning' || true)"
}
build '"CRYPTO_INTERNAL"' 'crypto_cipher_setkey(NULL, NULL, 0)'
lacks "the compiler" 'import.c:' "$output"
holds "modpost" 'uses symbol crypto_cipher_setkey from namespace CRYPTO_INTERNAL, but does not import it' "$output"
build '"CRYPTO_INTERNAL"' 0
same "without the symbol" '0 "CRYPTO_INTERNAL"' "$status $imports"
build 'CRYPTO_INTERNAL' 'crypto_cipher_setkey(NULL, NULL, 0)'
same "the bare name" '0 CRYPTO_INTERNAL' "$status $imports"
