#!/bin/sh
# From nothing to a loaded module: installs what is missing and the command kscaffold, then does its main job,
# showing each command before what it prints. Loads into a throwaway virtual machine; this machine's kernel is
# not touched. --undo removes the command again; --install-only stops when it is there.
set -eu
cd "$(dirname "$0")/.."
. examples/prepare.sh
case ${1:-} in
--undo)
	remove_command
	exit
	;;
--install-only)
	install_command
	kscaffold --version
	tell_path
	exit
	;;
"") ;;
*)
	echo "usage: sh examples/quickstart.sh [--install-only|--undo]" >&2
	exit 2
	;;
esac
install_command

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
printf '\nThe project is in %s; edit ret-1.c there, then: cd %s && kscaffold load\n' "$PWD" "$PWD"
tell_path
