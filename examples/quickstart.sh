#!/bin/sh
# From nothing to a loaded module: installs what is missing, then does kscaffold's main job, showing each
# command before what it prints. Loads into a throwaway virtual machine; this machine's kernel is not touched.
set -eu
cd "$(dirname "$0")/.."
. examples/prepare.sh
prepare "" quickstart

place=$(mktemp -d)
cd "$place"

show() {
	printf '\n$ %s\n' "$*"
	"$@"
}

show kscaffold new ownname --objs ret-1
cd ownname
trap 'kscaffold sandbox stop >/dev/null 2>&1 || true' EXIT
show kscaffold build
show kscaffold check
show kscaffold load
show kscaffold list
show kscaffold logs -n 4
show kscaffold unload
printf '\nThe project is in %s; edit ret-1.c there, then: kscaffold load\n' "$PWD"
