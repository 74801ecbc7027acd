"""A build directory of its own for an instrumented module: links to the user's files, and one Kbuild more.

The user's tree is never written to: make works in the mirror.
"""

from pathlib import Path

from kscaffold.files import reader
from kscaffold.project.mirror import link_sources

_OWN = "kbuild.original"


def make_mirror(project: Path, mirror: Path, kbuild: Path, flags: str) -> None:
    """Bring `mirror` up to date with `project`: a link for each file that no build has made.

    The Kbuild of the mirror reads that of the project, `kbuild`, and adds `flags` to each compiler's. Files
    of the mirror change only where something has changed, so that make has nothing to do otherwise.
    """
    link_sources(project, mirror, {Path("Kbuild"): None, Path(_OWN): kbuild})
    text = KBUILD.format(original=mirror / _OWN, flags=flags)
    file = mirror / "Kbuild"
    if not file.exists() or reader.read_text(file) != text:
        file.write_text(text)


# The flags come before those of the project, its -Werror behind them: an instrumented compiler warns of more.
# modpost can't know the helper's symbols: their names and versions are put in when the module is finished.
KBUILD = """\
# Made by kscaffold.
include {original}
subdir-ccflags-y += {flags}
ccflags-y += -Wno-error
KBUILD_MODPOST_WARN := 1
"""
