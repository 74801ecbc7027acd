"""Build directories beside the user's own: links to the sources of a project, in the cache."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from kscaffold.files import paths, reader

_NOT_LINKED = (".git", ".kscaffold.toml", ".kscaffold.base")
_BUILT = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".a", ".symvers", ".order", ".d", ".tmp")
_OURS = "compile_commands.json"  # each build has its own
_MOST = 20_000  # files
_DEEPEST = 6  # levels of a repository
_WHOSE = "project"


def build_place(directory: Path) -> Path:
    """Where the project in `directory` is built: there, or where that can't be written to in a directory of
    links to its files, made or brought up to date here."""
    if os.access(directory, os.W_OK):
        return directory
    place = paths.cache() / "builds" / _name(directory)
    _link(directory, place)
    return place


def _link(source: Path, place: Path) -> None:
    """Link each file of `source` from `place`; what was built there stays, links to what is gone go."""
    for where, inside, names in os.walk(source):
        inside[:] = [d for d in inside if d not in _NOT_LINKED]
        here = place / Path(where).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            link = here / name
            if name not in _NOT_LINKED and not link.is_symlink():
                link.unlink(missing_ok=True)
                link.symlink_to(Path(where, name))
    for where, _, names in os.walk(place):
        for name in names:
            link = Path(where, name)
            if link.is_symlink() and not link.exists():
                link.unlink()


def kernel_place(directory: Path, release: str) -> Path:
    """A build directory of one kernel's own for the project in `directory`, brought up to date here: commands
    for two kernels do not meet in the checkout. Raises UntrustedError for a tree that make may not read.
    """
    from kscaffold.project.ask import kbuild_file  # start-up time: most builds are in the checkout
    from kscaffold.project.trust import require_trusted

    directory = directory.resolve()
    require_trusted(directory, kbuild_file(directory))
    base = paths.cache() / "checkouts"
    own = base / _name(directory)
    sweep_mirrors(base, own, directory)
    place = surrounded(directory, own / release)
    link_sources(directory, place)
    return place


def _name(directory: Path) -> str:
    digest = hashlib.blake2b(os.fsencode(directory), digest_size=6).hexdigest()
    return f"{directory.name}-{digest}"


def link_sources(project: Path, mirror: Path, other: Mapping[Path, Path | None] | None = None) -> None:
    """Bring `mirror` up to date with `project`: a link for each file that no build has made. `other`: files
    that are linked to something else, or not at all (None).
    """
    paths.make_own(mirror)
    every = {path: project / path for path in _sources(project)} | dict(other or {})
    wanted = {path: source for path, source in every.items() if source is not None}
    for path in list(_links(mirror)):
        if wanted.get(path) != (mirror / path).readlink():
            (mirror / path).unlink()
    for path, source in wanted.items():
        link = mirror / path
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)


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
            if not name.startswith(".") and name != _OURS and not name.endswith(_BUILT):
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
