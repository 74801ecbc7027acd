"""The facts of a build tree (KDIR), read from its files; no program is run and nothing is compiled.

The store says whether a tree is usable; here it is only read, and what is absent is None or empty.
"""

import os
import re
from pathlib import Path

from kscaffold.arch import table
from kscaffold.files import reader
from kscaffold.kernel.config import parse_config
from kscaffold.records import dataclass, field

TOOLCHAIN = "toolchain"
"""The directory of a fetched kernel that has a compiler of its suite."""
SOURCES_BESIDE = "$(kscaffold-src)"
"""The directory above a fetched kernel's tree, as the tree's Makefile names it: the cache may move."""


@dataclass(frozen=True, slots=True)
class BuildTree:
    """A build tree.

    `source`: where scripts/ and the top Makefile are (`directory` itself unless the tree was configured
    with O=, or is Debian's, whose Makefile only includes the common one). `release`: what modules built
    here say in their vermagic. `version`: (VERSION, PATCHLEVEL, SUBLEVEL). `compiler`: the program the
    tree names (`gcc-12`), `built_by` the version text of the compiler the kernel was built with. `kbuild`:
    Kbuild's ARCH. `cross`: the beginning of the names of the compiler's programs (CROSS_COMPILE), nothing
    where the tree is for this machine; `compiler_package`: Debian's, for a machine that is not this one.
    `programs`: the directory of a compiler that was unpacked beside the kernel (suite_toolchain.py).
    `arch`: that machine, as `uname -m` says it.
    """

    directory: Path
    source: Path
    release: str
    version: tuple[str, str, str]
    srcarch: str
    compiler: str | None
    built_by: str
    clang: bool
    reads_kbuild_in_place: bool
    kbuild: str
    cross: str
    compiler_package: str
    programs: Path | None = None
    arch: str = field(default_factory=lambda: os.uname().machine)

    @property
    def name(self) -> str:
        """The kernel's, as people and --kernel name it."""
        return table.kernel_name(self.release, self.arch)


def read_tree(build: Path, arch: str | None = None) -> BuildTree:
    """The facts of the tree at `build`, for the architecture that `uname -m` calls `arch`; None: this
    machine's. Never raises for what is missing.
    """
    machine = arch or os.uname().machine
    architecture = table.by_uname(machine)
    directory = Path(build).resolve()
    source = _source(directory)
    config = parse_config(_text(directory / "include/config/auto.conf"))
    code = re.search(r"LINUX_VERSION_CODE (\d+)", _text(directory / "include/generated/uapi/linux/version.h"))
    release = re.search(r'UTS_RELEASE "([^"]*)"', _text(directory / "include/generated/utsrelease.h"))
    return BuildTree(
        directory=directory,
        source=source,
        release=release[1] if release else _text(directory / "include/config/kernel.release").strip(),
        version=_version(int(code[1])) if code else ("", "", ""),
        srcarch=architecture.srcarch if architecture else machine,
        compiler=_pinned(directory),
        built_by=config.value("CC_VERSION_TEXT") or "",
        clang=config.has("CC_IS_CLANG") is True,
        # Kbuild works in the module's directory since Linux kernel commit 13b25489b6f8 "kbuild: change
        # working directory to external module directory with M=" (in v6.13), before that in the kernel's.
        reads_kbuild_in_place="KBUILD_EXTMOD_OUTPUT" in _text(source / "Makefile"),
        kbuild=architecture.kbuild if architecture else machine,
        cross=table.cross_prefix(architecture),
        compiler_package=architecture.compiler_package() if architecture else "gcc",
        programs=programs_beside(directory),
        arch=machine,
    )


def programs_beside(build: Path) -> Path | None:
    """The compiler's programs that were unpacked beside a fetched kernel, of its build tree."""
    programs = build.parent.parent.parent / TOOLCHAIN / "usr/bin"
    return programs if programs.is_dir() else None


def _version(code: int) -> tuple[str, str, str]:
    return str(code >> 16), str(code >> 8 & 255), str(code & 255)


def _text(path: Path) -> str:
    try:
        return reader.read_text(path)
    except OSError:
        return ""


def _source(directory: Path) -> Path:
    """Follow a Makefile that only includes another one, as O= and Debian's headers have it."""
    makefile = _text(directory / "Makefile")
    if len(makefile) < 4096:
        included = re.search(r"^include\s+(\S+)/Makefile\s*$", makefile, re.M)
        if included:
            return (directory / included[1].replace(SOURCES_BESIDE, "..")).resolve()
    return directory


def _pinned(directory: Path) -> str | None:
    """The compiler Debian's headers insist on: `CC = $(if …ccache…) $(CROSS_COMPILE)gcc-12`."""
    text = _text(directory / ".kernelvariables")
    text = re.sub(r"^ifn?eq .*?^endif$", "", text, flags=re.M | re.S)  # only for cross builds of packages
    named = re.search(r"^CC\s*:?=.*?((?:gcc|clang)(?:-[\d.]+)?)\s*$", text, re.M)
    prefix = re.search(r"^override CROSS_COMPILE\s*=\s*(\S+)$", text, re.M)
    return (prefix[1] if prefix else "") + named[1] if named else None
