"""What a path that is not there probably means: a near name beside it, or what is still to be built."""

import os
import shlex
from pathlib import Path

from kscaffold.files import paths

_FILES_OF_MAKE = ("Kbuild", "Makefile", "makefile", "GNUmakefile", "dkms.conf")
_MOST = 2000  # names of a directory that are looked at
_NAMED = 3


def near(path: Path, *, directory: bool) -> Path | None:
    """What is there by nearly the name of `path`: a directory, or a file with the same ending; None where
    nothing is.

    The first part of the path that is not there may be the mistyped one.
    """
    import difflib  # start-up time: only after a typing error

    for place in (path, *path.parents):
        if not place.name or not paths.is_directory(place.parent):
            continue
        wants_directory = directory or place != path
        there = [
            name
            for name in _names(place.parent)
            if paths.is_directory(place.parent / name) == wants_directory
            and (wants_directory or Path(name).suffix == path.suffix)
        ]
        # What is the same but for - and _, or for capitals, is nearer than all others.
        same = [name for name in there if _plain(name) == _plain(place.name)]
        found = same or difflib.get_close_matches(place.name, there, n=1, cutoff=0.7)
        meant = place.parent / found[0] / path.relative_to(place) if found else None
        return meant if meant is not None and meant != path and _is_there(meant) else None
    return None


def missing_module_fix(ko: Path) -> str:
    """What mends a command that names a .ko that is not there."""
    meant = near(ko, directory=False)
    if meant is not None:
        return f"name {shlex.quote(_shown(meant))}"
    if is_of_make(ko.parent):
        return "kscaffold build, or name a .ko that exists"
    there = sorted(name for name in _names(ko.parent) if name.endswith(".ko"))
    listed = ", ".join(_shown(ko.parent / name) for name in there[:_NAMED])
    return f"name a .ko that exists: {listed}" if there else "name a .ko that exists"


def missing_directory_fix(directory: Path, command: str) -> str:
    """What mends a command that names a directory that is not there. `command`: what takes one."""
    meant = near(directory, directory=True)
    if meant is not None:
        return f"{command} {shlex.quote(str(meant))}"
    above = next((p for p in directory.parents if paths.is_directory(p)), Path())
    if not any(paths.is_directory(above / name) for name in _names(above)):
        return f"name a directory that is there; there is none in {_shown(above.absolute())}"
    shown = _shown(above.absolute())
    within = "" if shown == "." else "/" if shown == "/" else f"{shlex.quote(shown)}/"
    return f"name a directory that is there: ls -d {within}*/"


def is_of_make(directory: Path) -> bool:
    """Whether make has files there or above, up to the top of the repository or the home directory."""
    return directory_of_make(directory) is not None


def directory_of_make(directory: Path) -> Path | None:
    """The nearest directory, there or above, that has a file of make's; links resolved. None for none, up to
    the top of the repository or the home directory."""
    place = directory.absolute()
    for each in (place, *place.parents):
        if any(_is_there(each / name) for name in _FILES_OF_MAKE):
            return each.resolve()
        if each == paths.home() or _is_there(each / ".git"):
            break
    return None


def _names(directory: Path) -> list[str]:
    try:
        with os.scandir(directory or ".") as entries:
            return [entry.name for entry, _ in zip(entries, range(_MOST), strict=False)]
    except OSError:
        return []


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    """The path, from here where it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
