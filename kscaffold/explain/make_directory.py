"""Where make was sent to in vain: a kernel's build tree, another kernel's, another directory, or nowhere."""

import re
from collections.abc import Sequence

from kscaffold import lazy

_REACH = 40  # lines above make's complaint
_ENTERED = lazy.pattern(
    r"^make(?:\[\d{1,3}\])?: Entering directory ['`‘]([^'’\n]{1,300})['’]"
    r"|^\$? ?(?:sudo )?make .{0,200}?-C ?(\S{1,300})"
)
_KERNELS = lazy.pattern(r"/lib/modules/|linux-(?:headers|kbuild|obj)|/usr/src/(?:linux|kernels)|/build/?$")
_CALL = "make -C /lib/modules/$(uname -r)/build M=$PWD modules, in the module's directory"


# `-C` without a directory takes the next argument for it.
_EMPTY = lazy.pattern(
    r"\*\*\* (?P<argument>(?:M|SUBDIRS|KBUILD_EXTMOD)=\S{0,300}): No such file or directory"
)
_DKMS = lazy.pattern(r"^DKMS .{0,40}make\.log for \S{1,200} for kernel (?P<release>\S{1,100}) \(")
_MISSING = lazy.pattern(r"/lib/modules/(?P<release>[^/\s]{1,100})/build: No such file or directory")


def of_dkms(lines: Sequence[str], index: int) -> tuple[str, str] | None:
    """Cause and fix of a build directory in line `index` that is not there and belongs to another kernel than
    dkms builds for; None where it is that kernel's, or dkms does not say which it is.
    """
    missing = _MISSING.search(lines[index][:600])
    asked = next(filter(None, (_DKMS.match(line[:600]) for line in lines[:index])), None)
    if not missing or not asked or missing["release"] == asked["release"]:
        return None
    cause = (
        f"dkms builds for {asked['release']}, and the Makefile goes to the headers of {missing['release']}:"
        " it asks for the kernel that runs (uname -r), whose headers are gone"
    )
    fix = (
        "in dkms.conf give the Makefile the directory: MAKE[0]='make KDIR=$kernel_source_dir' (KDIR: the"
        " name that the Makefile has for it); or restart into the new kernel, then sudo dkms autoinstall"
    )
    return cause, fix


def of_target(lines: Sequence[str], index: int) -> tuple[str, str] | None:
    """Cause and fix of "No rule to make target 'modules'" in line `index`, or of `-C` without a directory;
    None where make was sent to a kernel's tree.
    """
    if empty := _EMPTY.search(lines[index][:600]):
        cause = (
            f"make was given -C without a directory, and took {empty['argument']} for it: the Makefile's"
            " variable with the kernel's build directory is empty"
        )
        fix = (
            "look in the Makefile for the variable behind -C (KSRC, KDIR, KERNELDIR) and for what sets it,"
            " often a choice of a platform that is not made; or give it: make"
            " KSRC=/lib/modules/$(uname -r)/build (dkms: MAKE[0]='make KSRC=$kernel_source_dir')"
        )
        return cause, fix
    if "target" not in lines[index]:
        return None
    hits = (_ENTERED.search(line[:600]) for line in reversed(lines[max(0, index - _REACH) : index]))
    hit = next((h for h in hits if h), None)
    if hit:
        place = hit[1] or hit[2]
        if _KERNELS.search(place):
            return None
        return f"make looked in {place}, and the kernel's Makefile is not there", _CALL
    if not re.match(r"make: ", lines[index]):
        return None
    cause = (
        "make was called in the module's own directory, whose Makefile has no target modules; or it was sent"
        " (-C) to a build tree that is empty"
    )
    return cause, f"{_CALL}; where that is what was called, install the headers package of the kernel"


# By what distributions put into the names of their kernels.
_HEADERS = (
    (r"\.(?:fc|el|amzn)\d", "sudo dnf install kernel-devel-{release}"),
    (r"-pve$", "sudo apt-get install proxmox-headers-{release} (before 6.5: pve-headers-{release})"),
    (r"-MANJARO$", "sudo pacman -S linux{series}-headers"),
    (r"-arch\d", "sudo pacman -S linux-headers"),
    (r"-(?P<flavour>zen|lts|hardened|cachyos)(?:-|$)", "sudo pacman -S linux-{flavour}-headers"),
    (r"\d-(?P<flavour>default|vanilla)$", "sudo zypper install kernel-{flavour}-devel"),
)


def headers_command(release: str) -> str | None:
    """The command that installs the headers of a release, by its name; None where the name is of Debian,
    Ubuntu or nobody.
    """
    for pattern, command in _HEADERS:
        if hit := re.search(pattern, release):
            series = "".join(re.findall(r"\d+", release)[:2])
            return command.format(release=release, series=series, **hit.groupdict())
    return None
