"""What makes the Kbuild of a directory that has none yet: a configure script and the like."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from kscaffold.files import reader

# What makes a Makefile or a Kbuild, and the command.
_MAKES_KBUILD = (
    ("configure", "./configure"),
    ("autogen.sh", "sh autogen.sh && ./configure"),
    ("configure.ac", "autoreconf -i && ./configure"),
    ("configure.in", "autoreconf -i && ./configure"),
    ("CMakeLists.txt", "cmake ."),
    ("meson.build", "meson setup build"),
)


def maker_of_kbuild(directory: Path) -> tuple[str, str] | None:
    """The file there that makes what Kbuild reads, and the command; None where nothing tells of one."""
    script = next(((n, how) for n, how in _MAKES_KBUILD if (directory / n).is_file()), None)
    if script is None or script[0] in ("configure", "autogen.sh"):
        return script
    templates = (next(directory.rglob(name), None) for name in ("Kbuild.in", "Makefile.in"))
    return script if any(templates) else None


# A configure's options for the directory of the kernel to build for, the plainest first.
_BUILD = ("kernel-dir", "kerneldir", "kdir", "kernel-build", "kernel-path", "linux-obj", "kernel-obj", "ksrc")
_EITHER = ("kernel-source", "kernel-src", "kernel", "linux-dir", "linux")
_OPTION = re.compile(r"--((?:with-)?[a-z][a-z-]{1,40})(?:\[?=|[ \t]+[A-Z<])")
_SETS_MODULES = re.compile(r"^[ \t]*obj-(?:m|\$)", re.M)


def configures_modules(directory: Path) -> bool:
    """Whether a configure there makes what Kbuild reads: of a template that lists modules."""
    script = directory / "configure"
    if not script.is_file() or not os.access(script, os.X_OK):
        return False
    return any(_SETS_MODULES.search(reader.read_text(template)) for template in _templates(directory))


def is_configured(directory: Path) -> bool:
    """Whether what the templates there are for has been made, by whomever."""
    made = (place / t.stem for t in _templates(directory) for place in (directory, t.parent))
    return any(file.exists() for file in made)


def _templates(directory: Path) -> Iterator[Path]:
    for pattern in ("Makefile.in", "Kbuild.in", "*.mak.in", "*.mk.in"):
        for place in (pattern, f"*/{pattern}"):
            yield from (file for file in directory.glob(place) if file.is_file())


def configure_options(said: str, build: Path, source: Path) -> list[str]:
    """The options that tell a configure the kernel to build for. `said`: its answer to --help; `build`,
    `source`: the kernel's directories.
    """
    known = set(_OPTION.findall(said))
    names = (name for each in (*_BUILD, *_EITHER) for name in (each, f"with-{each}"))
    chosen = next((name for name in names if name in known), None)
    if chosen is None:
        return []
    # A tree of objects goes with that of its sources.
    beside = chosen.removesuffix("-obj")
    sources = [f"--{beside}={source}"] if beside != chosen and beside in known else []
    return [*sources, f"--{chosen}={build}"]
