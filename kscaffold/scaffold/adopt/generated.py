"""Directories whose Kbuild a script or a rule makes: one of ours would stand before it."""

import re
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files.text_change import read_text

# What makes a Makefile or a Kbuild, and the command.
_MAKES_KBUILD = (
    ("configure", "./configure"),
    ("autogen.sh", "sh autogen.sh && ./configure"),
    ("configure.ac", "autoreconf -i && ./configure"),
    ("configure.in", "autoreconf -i && ./configure"),
    ("CMakeLists.txt", "cmake ."),
    ("meson.build", "meson setup build"),
)


def refuse_where_made(directory: Path) -> None:
    """Refuse to propose a Kbuild that would stand before one that a script or a rule makes."""
    templates = sorted(directory.rglob("Kbuild.in")) + sorted(directory.rglob("Makefile.in"))
    script = next(((n, how) for n, how in _MAKES_KBUILD if (directory / n).is_file()), None)
    own = read_text(directory / "Makefile") if (directory / "Makefile").is_file() else ""
    by_rule = re.search(r"^(?:\S*/)?(?:Kbuild|Makefile)\s*:(?!=)|>\s*[^\s>]*\bKbuild\b", own, re.M)
    if script and (templates or script[0] in ("configure", "autogen.sh")):
        cause, fix = f"{script[0]} makes what Kbuild reads", f"{script[1]}, then kscaffold adopt"
    elif by_rule:
        cause, fix = "a rule of its Makefile makes what Kbuild reads", "make, then kscaffold adopt"
    else:
        return
    what = f"{directory.name} has no Kbuild yet, and one of ours would stand before its own"
    raise KscaffoldError("KS040", what, cause=cause, fix=fix)
