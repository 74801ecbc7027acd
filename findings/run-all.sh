#!/bin/sh
# Run all findings, or those named: run-all.sh [NAME...]. Prints same, changed or untried for each.
# Exit status: 0 where nothing changed (untried ones are no change), 1 where something did.
set -eu
cd "$(dirname "$0")"
logs=$(mktemp -d "${TMPDIR:-/tmp}/findings.XXXXXX")
trap 'rm -rf "$logs"' EXIT
trap 'exit 143' INT TERM HUP
# Package lists and packages are fetched once for all.
FINDINGS_CACHE=${FINDINGS_CACHE:-$logs/cache}
export FINDINGS_CACHE
[ $# -gt 0 ] || set -- $(ls ./*.sh | sed 's|^\./||; s|\.sh$||' | grep -v '^run-all$')
changed=0
for name; do
    status=0
    timeout 600 sh "./$name.sh" >"$logs/out" 2>"$logs/err" || status=$?
    case $status in
    0) echo "same      $name" ;;
    77) echo "untried   $name: $(tail -n 1 "$logs/err")" ;;
    *)
        changed=1
        echo "changed   $name: $(tail -n 1 "$logs/err")"
        sed 's/^/          /' "$logs/out"
        ;;
    esac
done
exit $changed
