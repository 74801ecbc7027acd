# Sourced by the findings. Pinned public packages are unpacked into a folder of their own; nothing is installed.
#
# After sourcing: $work is an empty folder that is removed at the end, $root is where packages are unpacked.
# FINDINGS_CACHE may name a folder that keeps package lists and packages for the next finding.
# A finding ends with 0 where the behaviour is as written, 1 where it changed, and 77 where it could not be tried.

work=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP
root=$work/root
cache=${FINDINGS_CACHE:-$work/cache}
mkdir -p "$root" "$cache"

untried() { # untried REASON: end without a judgement
    echo "untried: $*" >&2
    exit 77
}

needs() { # needs PROGRAM...: programs of the host that the finding uses
    for program; do
        command -v "$program" >/dev/null || untried "$program is not on PATH"
    done
}

saw() { # saw LABEL TEXT: print what was seen
    printf '%s\n' "$2" | sed "s|^|  $1: |"
}

changed() { # changed WHAT: the behaviour is not as written any more
    echo "CHANGED: $*" >&2
    exit 1
}

same() { # same WHAT EXPECTED SEEN
    [ "$2" = "$3" ] || changed "$1: expected <$2>, saw <$3>"
}

holds() { # holds WHAT PATTERN TEXT: some line of TEXT matches the basic regular expression
    printf '%s\n' "$3" | grep -q -e "$2" || changed "$1: no line matches <$2>"
}

lacks() { # lacks WHAT PATTERN TEXT
    ! printf '%s\n' "$3" | grep -q -e "$2" || changed "$1: a line matches <$2>"
}

# An apt that reads and writes nothing of the host's but its mirror and its keys. $apt: options of apt.
archive() { # archive SUITE; $arches: other architectures than amd64 alone, the first one is apt's own
    lists=$cache/$1${arches:+-$arches}
    apt="-c $lists/apt.conf"
    [ ! -e "$lists/ready" ] || return 0
    rm -rf "${lists:?}"
    mkdir -p "$lists/lists/partial" "$lists/archives/partial" "$lists/debs"
    # Debian serves its security suites from a second archive.
    case $1 in *-security) kind='-security' ;; *) kind='' ;; esac
    uri=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(CODENAME)' "Origin: Debian" "Created-By: Packages" |
        awk -v k="$kind" '{ s = ($3 ~ /-security$/ || $2 ~ /-security$/) ? "-security" : "" }
            s == k && $0 !~ /-(updates|backports)/ { print $1; exit }')
    [ -n "$uri" ] || untried "apt knows no mirror for $1 (run apt-get update once)"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=${arches:-amd64}] $uri $1 main" \
        >"$lists/list"
    cat >"$lists/apt.conf" <<CONF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
Dir::State "$lists";
Dir::State::lists "$lists/lists";
Dir::State::status "/dev/null";
Dir::Cache "$lists";
Dir::Cache::archives "$lists/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Etc::sourcelist "$lists/list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
Acquire::Languages "none";
quiet "2";
CONF
    [ -z "${arches:-}" ] || cat >>"$lists/apt.conf" <<CONF
APT::Architecture "${arches%%,*}";
APT::Architectures { "$(echo "$arches" | sed 's/,/"; "/g')"; };
CONF
    apt-get $apt update >/dev/null || untried "the package lists of $1 can't be fetched"
    : >"$lists/ready"
}

fetch() { # fetch SUITE NAME=VERSION...: unpack these packages, and only these, into $root
    suite=$1
    shift
    archive "$suite"
    for package; do
        name=${package%%=*}
        version=${package#*=}
        # apt writes the colon of an epoch as %3a.
        file=${name%%:*}_$(echo "$version" | sed 's/:/%3a/')
        [ -n "$(find "$lists/debs" -name "${file}_*")" ] ||
            (cd "$lists/debs" && apt-get $apt download "$package" >/dev/null) ||
            untried "$name $version is no longer in $suite"
        for deb in "$lists/debs/${file}"_*.deb; do
            dpkg-deb -x "$deb" "$root"
        done
    done
}

wheels() { # wheels NAME==VERSION...: Python packages in $work/python
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/python" "$@" ||
        untried "pip can't install $*"
    PYTHONPATH=$work/python
    export PYTHONPATH
}
