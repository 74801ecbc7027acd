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
archive() { # archive SUITE
    apt="-c $cache/$1/apt.conf"
    [ ! -e "$cache/$1/ready" ] || return 0
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1/lists/partial" "$cache/$1/archives/partial" "$cache/$1/debs"
    # Debian serves its security suites from a second archive.
    case $1 in *-security) kind='-security' ;; *) kind='' ;; esac
    uri=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(CODENAME)' "Origin: Debian" "Created-By: Packages" |
        awk -v k="$kind" '{ s = ($3 ~ /-security$/ || $2 ~ /-security$/) ? "-security" : "" }
            s == k && $0 !~ /-(updates|backports)/ { print $1; exit }')
    [ -n "$uri" ] || untried "apt knows no mirror for $1 (run apt-get update once)"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=${arches:-amd64}] $uri $1 main" \
        >"$cache/$1/list"
    cat >"$cache/$1/apt.conf" <<CONF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
Dir::State "$cache/$1";
Dir::State::lists "$cache/$1/lists";
Dir::State::status "/dev/null";
Dir::Cache "$cache/$1";
Dir::Cache::archives "$cache/$1/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Etc::sourcelist "$cache/$1/list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
Acquire::Languages "none";
quiet "2";
CONF
    apt-get $apt update >/dev/null || untried "the package lists of $1 can't be fetched"
    : >"$cache/$1/ready"
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
        [ -n "$(find "$cache/$suite/debs" -name "${file}_*")" ] ||
            (cd "$cache/$suite/debs" && apt-get $apt download "$package" >/dev/null) ||
            untried "$name $version is no longer in $suite"
        for deb in "$cache/$suite/debs/${file}"_*.deb; do
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
