#!/bin/sh
# Of fifty lines written to /dev/kmsg ten arrive, and every write succeeds.
#
# Versions: Linux 6.1.176 (Debian 12), with its usual printk.devkmsg=ratelimit.
# A good guess: what a program writes to /dev/kmsg is in the log, or the write fails.
# What happens: each open file of /dev/kmsg may write ten lines in five seconds. The others are dropped, write(2)
#   says that all bytes were written, and the log tells the number only when the file is closed. A test that keeps the
#   file open for its markers loses them; opening it anew for each line keeps all.
#   A line of more than about a thousand bytes is another matter: that write fails with EINVAL.
# Seen: 10 of 50 lines with one open file and 0 failed writes, 50 of 50 with an open for each; a line of 1100 bytes is
#   refused.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"
. "$here/lib/kernel.sh"

headers 6.1
image
guest <<'GUEST'
echo "devkmsg: $(cat /proc/sys/kernel/printk_devkmsg)"
failed=0
exec 3>/dev/kmsg
for number in $(seq 50); do
    echo "marker $number" >&3 || failed=$((failed + 1))
done
exec 3>&-
echo "one open file: $(log | grep -c marker) of 50, $failed failed"
for number in $(seq 50); do
    echo "marker $number" >/dev/kmsg || failed=$((failed + 1))
done
echo "an open file each: $(log | grep -c marker) of 50, $failed failed"
printf '%01100d\n' 7 >/dev/kmsg 2>/dev/null
echo "1100 bytes: status $?"
GUEST
holds "the setting" '^devkmsg: ratelimit$' "$said"
holds "one open file" '^one open file: 10 of 50, 0 failed$' "$said"
holds "an open file each" '^an open file each: 50 of 50, 0 failed$' "$said"
holds "a long line" '^1100 bytes: status 1$' "$said"
