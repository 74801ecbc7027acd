# Sourced by quickstart.sh and tests/run.sh: what kscaffold needs on this machine, installed once.
#
# prepare EXTRA STAMP [PACKAGE...]: the Debian packages that are missing (with sudo only if not root), a
# virtual environment in .venv, kscaffold in it with the extra `EXTRA` ("" for none). A second call finds
# everything there and does nothing.

# gcc, make and libelf1 (objtool's) build modules; the kernel's own headers are fetched without root.
KSCAFFOLD_PACKAGES="python3 python3-venv gcc make libelf1 qemu-system-x86 kmod apt"

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() {
	# libelf1 is called libelf1t64 from Debian 13 on, and provides the old name.
	dpkg-query -W -f='${Status}\n' "$1" "${1}t64" 2>/dev/null | grep -q '^install ok installed'
}

install_missing() {
	missing=
	for package in "$@"; do
		is_installed "$package" || missing="$missing $package"
	done
	[ -z "$missing" ] && return
	echo "+ apt-get install$missing" >&2
	as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of names
	DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends $missing >&2 </dev/null
}

# A Python of at least 3.11 that can make virtual environments.
find_python() {
	for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
		if "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
			echo "$python"
			return
		fi
	done
	echo "kscaffold needs Python 3.11 or newer; Debian 12 and 13 have it as python3" >&2
	exit 69
}

prepare() {
	extra=$1
	stamp=$2
	shift 2
	if ! command -v apt-get >/dev/null || [ "$(uname -m)" != x86_64 ]; then
		echo "this script is for Debian 12 or 13 on x86-64; elsewhere see \"Other machines\" in README.md" >&2
		exit 69
	fi
	# shellcheck disable=SC2086 # a list of names
	install_missing $KSCAFFOLD_PACKAGES "$@"
	wanted="$extra $(cksum <pyproject.toml) $PWD"
	if [ "$(cat ".venv/$stamp" 2>/dev/null)" != "$wanted" ]; then
		python=$(find_python) || exit
		[ -x .venv/bin/python ] || "$python" -m venv .venv
		echo "+ pip install kscaffold$extra" >&2
		.venv/bin/python -m pip install -q --disable-pip-version-check -e ".$extra" >&2
		echo "$wanted" >".venv/$stamp"
	fi
	PATH=$PWD/.venv/bin:$PATH
}
