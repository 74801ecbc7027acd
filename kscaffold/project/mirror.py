"""A build directory beside a checkout: links to its files, in the cache; what make makes stays there."""

import contextlib
import hashlib
import os
from pathlib import Path

from kscaffold.files import paths
from kscaffold.files.atomic import file_beside
from kscaffold.kernel.kernel import Kernel

_NOT_LINKED = frozenset((
    ".git", ".kscaffold.toml", ".kscaffold.base", "compile_commands.json", "modules.order", "Module.symvers",
))  # fmt: skip
# What Kbuild makes without a `.NAME.cmd` of its own in each version.
_MADE = (".ko", ".mod", ".mod.c", ".cmd")


def mirror(directory: Path, kernel: Kernel) -> Path:
    """The build directory of a checkout for one kernel, its links brought up to date; what was built there
    stays. What was built in the checkout is not linked: make would write to it there.
    """
    place = _places(directory) / _key(kernel)
    paths.make_own(place)
    paths.note_project(place.parent, directory)
    _link(directory, place)
    return place


def mirrors(directory: Path) -> list[Path]:
    """The build directories of a checkout, the one that was last built in first."""
    try:
        found = [p for p in _places(directory).iterdir() if p.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True)


def checkout_file(built: Path) -> Path:
    """Where a file in such a build directory stands in its checkout; `built` itself where it is in none."""
    builds = paths.cache() / "builds"
    if not built.is_relative_to(builds):
        return built
    name, _, *inside = built.relative_to(builds).parts
    directory = paths.project_of(builds / name)
    return built if directory is None else directory.joinpath(*inside)


def publish(built: Path) -> Path:
    """Put a .ko from such a build directory beside its sources, as make would have left it; where it is then.
    A checkout that can't be written to gets none.
    """
    beside = checkout_file(built)
    if beside == built or _is_same(built, beside):
        return beside
    try:
        with file_beside(beside) as hidden:
            hidden.write_bytes(built.read_bytes())
            hidden.replace(beside)
        # Without the record of its command make links the next one anew, whichever kernel it is for.
        beside.with_name(f".{beside.name}.cmd").unlink(missing_ok=True)
    except OSError:
        return built
    return beside


def _is_same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
    return False


def _places(directory: Path) -> Path:
    digest = hashlib.blake2b(os.fsencode(directory), digest_size=6).hexdigest()
    return paths.cache() / "builds" / f"{directory.name[:40]}-{digest}"


def _key(kernel: Kernel) -> str:
    """Two trees may say the same release, one of the user's own and a fetched one."""
    digest = hashlib.blake2b(os.fsencode(os.path.realpath(kernel.build or "")), digest_size=4).hexdigest()
    return f"{kernel.release}-{digest}"


def _link(source: Path, place: Path) -> None:
    """Link each file of `source` from `place`; links to what is gone or was made since go."""
    wanted: set[Path] = set()
    for where, inside, names in os.walk(source):
        inside[:] = [d for d in inside if d not in _NOT_LINKED]
        here = place / Path(where).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        there = set(names)
        for name in names:
            if name in _NOT_LINKED or name.endswith(_MADE) or f".{name}.cmd" in there:
                continue
            link = here / name
            wanted.add(link)
            if not link.is_symlink():
                link.unlink(missing_ok=True)
                with contextlib.suppress(FileExistsError):  # another command has just made it
                    link.symlink_to(Path(where, name))
    for where, _, names in os.walk(place):
        for name in names:
            link = Path(where, name)
            if link.is_symlink() and link not in wanted:
                link.unlink(missing_ok=True)
