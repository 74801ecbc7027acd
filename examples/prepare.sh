# Sourced by quickstart.sh and tests/run.sh: what kscaffold needs on this machine, installed once.
#
# prepare EXTRA STAMP [PACKAGE...]: the Debian packages that are missing, a virtual environment in .venv, and
# kscaffold in it with the extra `EXTRA` ("" for none). install_command: kscaffold as a command of this user, by
# uv or pipx where there is one, else by a link to .venv. remove_command undoes that. A second call of each
# finds everything there and does nothing.

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
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		echo "packages are missing, and there is no sudo here; as root:" >&2
		echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
		exit 69
	fi
	echo "+ apt-get install$missing (a minute)" >&2
	as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of names
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
		>/dev/null </dev/null
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

install_packages() {
	if ! command -v apt-get >/dev/null || [ "$(uname -m)" != x86_64 ]; then
		echo "this script is for Debian 12 or 13 on x86-64; elsewhere see docs/machines.md" >&2
		exit 69
	fi
	# shellcheck disable=SC2086 # a list of names
	install_missing $KSCAFFOLD_PACKAGES "$@"
}

prepare() {
	extra=$1
	stamp=$2
	shift 2
	install_packages "$@"
	make_environment "$extra" "$stamp"
	PATH=$PWD/.venv/bin:$PATH
}

make_environment() {
	wanted="$1 $(cksum <pyproject.toml) $PWD"
	if [ "$(cat ".venv/$2" 2>/dev/null)" != "$wanted" ]; then
		python=$(find_python) || exit
		[ -x .venv/bin/python ] || "$python" -m venv .venv
		echo "+ pip install kscaffold$1" >&2
		.venv/bin/python -m pip install -q --disable-pip-version-check -e ".$1" >&2
		echo "$wanted" >".venv/$2"
	fi
}

# Where a link to .venv's command goes when neither uv nor pipx is there.
command_link() {
	echo "${HOME:-/}/.local/bin/kscaffold"
}

is_our_link() {
	[ "$(readlink "$(command_link)" 2>/dev/null)" = "$PWD/.venv/bin/kscaffold" ]
}

# The directory of commands into which uv or pipx has installed kscaffold; a failure where neither can.
install_by_tool() {
	if command -v uv >/dev/null && bin=$(uv tool dir --bin 2>/dev/null); then
		[ -x "$bin/kscaffold" ] || { echo "+ uv tool install -e ." >&2 && uv tool install -q -e . >&2; } || return 1
	elif command -v pipx >/dev/null && bin=$(pipx environment --value PIPX_BIN_DIR 2>/dev/null); then
		[ -x "$bin/kscaffold" ] || { echo "+ pipx install -e ." >&2 && pipx install -e . >&2; } || return 1
	else
		return 1
	fi
	[ -x "$bin/kscaffold" ] && echo "$bin"
}

install_command() {
	install_packages
	link=$(command_link)
	if ! is_our_link && bin=$(install_by_tool); then
		PATH=$bin:$PATH
		return
	fi
	given=$PATH
	make_environment "" quickstart
	PATH=$PWD/.venv/bin:$PATH
	bin=$PWD/.venv/bin
	if is_our_link; then
		bin=${link%/*}
	elif [ -e "$link" ] || [ -L "$link" ]; then
		echo "$link is there already and stays; this clone's command is $bin/kscaffold" >&2
	elif mkdir -p "${link%/*}" 2>/dev/null && ln -s "$bin/kscaffold" "$link" 2>/dev/null; then
		echo "+ ln -s $bin/kscaffold $link" >&2
		bin=${link%/*}
	else
		echo "${link%/*} can't be written to; this clone's command is $bin/kscaffold" >&2
	fi
	case :$given: in
	*:"$bin":*) ;;
	*) path_word=$bin ;;
	esac
}

# One line where the shell would not find the command yet.
tell_path() {
	[ -z "${path_word:-}" ] && return
	# shellcheck disable=SC2016 # $PATH is for the user's shell
	printf 'Your shell does not look for commands there yet: export PATH="%s:$PATH" (and into ~/.profile)\n' \
		"$path_word"
}

remove_command() {
	if is_our_link; then
		rm "$(command_link)"
		echo "removed $(command_link)"
	elif command -v uv >/dev/null && uv tool list 2>/dev/null | grep -q '^kscaffold '; then
		uv tool uninstall kscaffold
	elif command -v pipx >/dev/null && pipx list --short 2>/dev/null | grep -q '^kscaffold '; then
		pipx uninstall kscaffold
	fi
	if [ -e .venv/quickstart ] && [ ! -e .venv/tests ]; then # that one is a developer's
		rm -r .venv
		echo "removed $PWD/.venv"
	fi
	echo "Left as they are: Debian's packages, your projects, and what kscaffold fetched or made:"
	echo "  ${XDG_CACHE_HOME:-${HOME:-}/.cache}/kscaffold ${XDG_STATE_HOME:-${HOME:-}/.local/state}/kscaffold"
}
