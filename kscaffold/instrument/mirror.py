"""A build directory of its own for an instrumented module: links to the user's files, and one Kbuild more.

The user's tree is never written to: make works in the mirror.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from kscaffold.files import paths, reader

_BUILT = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".a", ".symvers", ".order", ".d", ".tmp")
_OWN = "kbuild.original"
_MOST = 20_000  # files
_DEEPEST = 6  # levels of a repository
_WHOSE = "project"


def make_mirror(project: Path, mirror: Path, kbuild: Path, flags: str) -> None:
    """Bring `mirror` up to date with `project`: a link for each file that no build has made.

    The Kbuild of the mirror reads that of the project, `kbuild`, and adds `flags` to each compiler's. Files
    of the mirror change only where something has changed, so that make has nothing to do otherwise.
    """
    paths.make_own(mirror)
    wanted = {path: project / path for path in _sources(project)}
    wanted.pop(Path("Kbuild"), None)
    wanted[Path(_OWN)] = kbuild
    for path in list(_links(mirror)):
        if wanted.get(path) != (mirror / path).readlink():
            (mirror / path).unlink()
    for path, source in wanted.items():
        link = mirror / path
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
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


def surrounded(project: Path, base: Path) -> Path:
    """The place of a project's mirror below `base`, with links to what lies beside the project in its
    repository: sources include headers by `../`.
    """
    top = _repository(project)
    here = base
    for directory in reversed([d for d in project.parents if d.is_relative_to(top)]):
        paths.make_own(here)
        onward = project.relative_to(directory).parts[0]
        for entry in directory.iterdir():
            link = here / entry.name
            if entry.name != onward and not entry.name.startswith(".") and not link.is_symlink():
                link.symlink_to(entry)
        here = here / onward
    return here


def _repository(project: Path) -> Path:
    """The top of the repository that a project is in; the project itself where it is in none."""
    for directory in (project, *project.parents)[:_DEEPEST]:
        if (directory / ".git").exists():
            return directory
    return project


def sweep_mirrors(base: Path, place: Path, home: Path) -> None:
    """Note whose mirrors are in `place`, and remove those below `base` whose project is gone."""
    note = place / _WHOSE
    if note.is_file():
        return
    paths.make_own(place)
    note.write_text(str(home), errors="surrogateescape")
    for other in base.iterdir():
        with contextlib.suppress(OSError):
            if not Path(os.fsdecode(reader.read_bytes(other / _WHOSE))).exists():
                shutil.rmtree(other, ignore_errors=True)


def _sources(project: Path) -> Iterator[Path]:
    """The files of a project, relative to it, that no build has made; nothing hidden."""
    count = 0
    for directory, directories, files in os.walk(project):
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith(_BUILT):
                count += 1
                if count > _MOST:
                    return
                yield (Path(directory) / name).relative_to(project)


def _links(mirror: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(mirror):
        for name in files:
            path = Path(directory) / name
            if path.is_symlink():
                yield path.relative_to(mirror)
