"""Build directories beside the user's own: links to the sources of a project, in the cache."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from kscaffold.files import paths, reader
from kscaffold.files.atomic import file_beside
from kscaffold.kernel.kernel import Kernel

# What Kbuild makes; other objects it makes have a `.NAME.cmd` beside them.
_BUILT = (".ko", ".mod", ".mod.c", ".cmd", ".d", ".tmp", "modules.order", "Module.symvers")
_OURS = "compile_commands.json"  # each build has its own
_MOST = 20_000  # files
_DEEPEST = 6  # levels of a repository
_WHOSE = "project"


def kernel_place(directory: Path, kernel: Kernel) -> Path:
    """A build directory of one kernel's own for the project in `directory`, brought up to date here: commands
    for two kernels do not meet in the checkout. Raises UntrustedError for a tree that make may not read.
    """
    from kscaffold.project.ask import kbuild_file  # start-up time: most builds are in the checkout
    from kscaffold.project.trust import name, require_trusted

    directory = directory.resolve()
    require_trusted(directory, kbuild_file(directory))
    place = mirror(directory, kernel)
    name(place)  # it has links to the very files that were found good, or named
    return place


def mirror(directory: Path, kernel: Kernel) -> Path:
    """The place that `kernel_place` gives, for a caller who runs no make there."""
    own = _places(directory)
    sweep_mirrors(own.parent, own, directory)
    place = surrounded(directory, own / _key(kernel))
    link_sources(directory, place)
    return place


def mirrors(directory: Path) -> list[Path]:
    """The build directories of a checkout, the one that was last built in first."""
    inside = directory.relative_to(repository(directory))
    try:
        found = [p / inside for p in _places(directory).iterdir() if p.is_dir()]
    except OSError:
        return []
    return sorted((p for p in found if p.is_dir()), key=lambda p: p.stat().st_mtime_ns, reverse=True)


def remove_mirrors(directory: Path) -> None:
    """Remove the build directories of a checkout."""
    shutil.rmtree(_places(directory), ignore_errors=True)


def checkout_file(built: Path) -> Path:
    """Where a file in such a build directory stands in its checkout; `built` itself where it is in none."""
    base = paths.cache() / "checkouts"
    if not built.is_relative_to(base):
        return built
    name, _, *parts = built.relative_to(base).parts
    directory = paths.project_of(base / name)
    if directory is None:
        return built
    above = directory.relative_to(repository(directory)).parts
    return directory.joinpath(*parts[len(above) :])


def publish(built: Path) -> Path:
    """Put a .ko from such a build directory beside its sources, as make would have left it; where it is then.
    A checkout that can't be written to gets none.
    """
    beside = checkout_file(built)
    if beside == built or _is_same(built, beside):
        return beside
    try:
        with file_beside(beside) as hidden:
            hidden.write_bytes(reader.read_bytes(built, reader.MOST_IMAGE))
            hidden.replace(beside)
        # Without the record of its command make links the next one anew, whichever kernel it is for.
        beside.with_name(f".{beside.name}.cmd").unlink(missing_ok=True)
    except OSError:
        return built
    return beside


def _is_same(one: Path, other: Path) -> bool:
    most = reader.MOST_IMAGE
    with contextlib.suppress(OSError):
        if one.stat().st_size == other.stat().st_size:
            return reader.read_bytes(one, most) == reader.read_bytes(other, most)
    return False


def _places(directory: Path) -> Path:
    digest = hashlib.blake2b(os.fsencode(directory), digest_size=6).hexdigest()
    return paths.cache() / "checkouts" / f"{directory.name[:40]}-{digest}"


def _key(kernel: Kernel) -> str:
    """A name for a kernel's tree. Two trees may have the same release: the user's own, and a fetched one."""
    digest = hashlib.blake2b(os.fsencode(os.path.realpath(kernel.build or "")), digest_size=4).hexdigest()
    return f"{kernel.release}-{digest}"


def link_sources(project: Path, mirror: Path, other: Mapping[Path, Path | None] | None = None) -> None:
    """Bring `mirror` up to date with `project`: a link for each file that no build has made. `other`: files
    that are linked to something else, or not at all (None).
    """
    paths.make_own(mirror)
    every = {path: project / path for path in sources(project)} | dict(other or {})
    wanted = {path: source for path, source in every.items() if source is not None}
    for path in list(_links(mirror)):
        if wanted.get(path) != (mirror / path).readlink():
            (mirror / path).unlink(missing_ok=True)
    for path, source in wanted.items():
        link = mirror / path
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another command has just made it
                link.symlink_to(source)


def surrounded(project: Path, base: Path) -> Path:
    """The place of a project's mirror below `base`, with links to what lies beside the project in its
    repository: sources include headers by `../`.
    """
    top = repository(project)
    here = base
    for directory in reversed([d for d in project.parents if d.is_relative_to(top)]):
        paths.make_own(here)
        onward = project.relative_to(directory).parts[0]
        for entry in directory.iterdir():
            link = here / entry.name
            if entry.name != onward and not entry.name.startswith(".") and not link.is_symlink():
                with contextlib.suppress(FileExistsError):
                    link.symlink_to(entry)
        here = here / onward
    return here


def repository(project: Path) -> Path:
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


def sources(project: Path) -> Iterator[Path]:
    """The files of a project, relative to it, that no build has made; nothing hidden."""
    count = 0
    for directory, directories, files in os.walk(project):
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        there = frozenset(files)
        for name in sorted(files):
            if not name.startswith(".") and name != _OURS and not is_built(name, there):
                count += 1
                if count > _MOST:
                    return
                yield (Path(directory) / name).relative_to(project)


def is_built(name: str, there: Collection[str]) -> bool:
    """Whether a build made a file. An object without a command and without a source is the user's own."""
    if name.endswith(_BUILT) or f".{name}.cmd" in there:
        return True
    stem, _, suffix = name.rpartition(".")
    return suffix in ("o", "a") and any(f"{stem}.{source}" in there for source in ("c", "S", "rs"))


def _links(mirror: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(mirror):
        for name in files:
            path = Path(directory) / name
            if path.is_symlink():
                yield path.relative_to(mirror)
