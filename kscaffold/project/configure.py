"""What makes the Kbuild of a directory that has none yet: a configure script and the like."""

from pathlib import Path

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
