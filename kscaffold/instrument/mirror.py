"""A build directory of its own for an instrumented module: links to the user's files, and one Kbuild more.

The user's tree is never written to: make works in the mirror.
"""

import shutil
from pathlib import Path

from kscaffold.files import paths, reader
from kscaffold.project.mirror import link_sources, sources

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


def copy_sources(project: Path, mirror: Path) -> None:
    """As make_mirror, for a project's own make: copies, since its rules may write to files."""
    paths.make_own(mirror)
    for path in sources(project):
        source, copy = project / path, mirror / path
        if not _is_same(source, copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            shutil.copy2(source, copy)


def _is_same(source: Path, copy: Path) -> bool:
    if copy.is_symlink() or not copy.is_file():
        return False
    one, other = source.stat(), copy.stat()
    return (one.st_mtime_ns, one.st_size) == (other.st_mtime_ns, other.st_size)


# The flags come before those of the project, its -Werror behind them: an instrumented compiler warns of more.
# modpost can't know the helper's symbols: their names and versions are put in when the module is finished.
KBUILD = """\
# Made by kscaffold.
include {original}
subdir-ccflags-y += {flags}
ccflags-y += -Wno-error
KBUILD_MODPOST_WARN := 1
"""
