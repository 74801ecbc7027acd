#!/bin/sh
# On arm64 the first address of a function that a tracer can patch is of the function before, by its line.
#
# Versions: GCC 12.2 for arm64 and for amd64, binutils 2.40 (Debian 12).
# A good guess: addr2line of a function's first byte gives the line of its opening brace, on every machine; so it does
#   for an amd64 build of the same file with the same options.
# What happens: with -fpatchable-function-entry=2, as arm64's kernels and modules are built, GCC for arm64 writes no row of
#   the line table for the no-ops at the entry. They get the last row before them: the end of the function above, in
#   whatever line that is. Who maps a probe at a function's entry to source shows another function.
# Seen: second() begins in line 8; amd64 says 8, arm64 says 4, which is the end of first(), and
#   10, a line of second(), only behind the no-ops.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"

needs gcc nm addr2line aarch64-linux-gnu-gcc aarch64-linux-gnu-nm aarch64-linux-gnu-addr2line
cat >"$work/two.c" <<'C'
int first(int a)
{
	return a + 1;
}


int second(int b)
{
	return b * 3;
}
C

for prefix in '' aarch64-linux-gnu-; do
    "${prefix}gcc" -O2 -g -fpatchable-function-entry=2 -c "$work/two.c" -o "$work/two.o"
    start=0x$("${prefix}nm" "$work/two.o" | sed -n 's/ T second$//p')
    line() { # line ADDRESS: the number alone
        "${prefix}addr2line" -j .text -e "$work/two.o" "$(printf '0x%x' $(($1)))" | sed 's/.*two.c:\([0-9]*\).*/\1/'
    }
    name=${prefix:-amd64}
    entry=$(line "$start")
    saw "$name" "$("${prefix}gcc" -dumpfullversion): second() begins in line $entry"
    case $prefix in
    '') same "$name, entry" 8 "$entry" ;;
    *)
        same "$name, entry" 4 "$entry"
        same "$name, behind its no-ops" 10 "$(line "$start + 8")"
        ;;
    esac
done
