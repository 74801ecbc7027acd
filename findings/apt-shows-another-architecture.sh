#!/bin/sh
# Where a package is not built for the wanted architecture, apt answers with another architecture's, and says nothing.
#
# Versions: apt 2.6 (Debian 12), APT::Architecture "s390x" beside amd64.
# A good guess: asked as s390x, apt-cache show and apt-get download mean s390x's packages: what is not built for s390x
#   is not there, or is told as amd64's.
# What happens: both take amd64's package of that name, with status 0. The field Architecture, and the file's name, are
#   the only signs; NAME:s390x is refused. A package that is built for both comes as s390x's.
# Seen: linux-image-cloud-amd64 shown and downloaded as amd64's; with :s390x no package is found; busybox-static is
#   s390x's.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"

arches=s390x,amd64
archive bookworm

architecture_of() { # architecture_of NAME: what apt-cache show says of it
    apt-cache $apt show --no-all-versions "$1" 2>"$work/said" | sed -n 's/^Architecture: //p'
}

same "a package of both" s390x "$(architecture_of busybox-static)"
name=linux-image-cloud-amd64
shown=$(architecture_of $name)
saw "apt-cache show $name" "Architecture: $shown"
same "what is shown" amd64 "$shown"
same "that package, named whole" "" "$(architecture_of $name:s390x)"
saw "apt-cache show $name:s390x" "$(cat "$work/said")"
holds "that package, named whole" '^E: No packages found$' "$(cat "$work/said")"
mkdir "$work/here"
(cd "$work/here" && apt-get $apt download $name >/dev/null) || changed "the download is refused"
saw "apt-get download $name" "$(ls "$work/here")"
holds "what is downloaded" '_amd64\.deb$' "$(ls "$work/here")"
