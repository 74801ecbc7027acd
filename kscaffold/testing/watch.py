"""Does a verb again whenever a source of a project is saved."""

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import watchfiles

from kscaffold import process
from kscaffold.project.find import find_project

VERBS = ("run", "build", "check", "load", "reload", "test")
"""The verbs that can be done again and again."""

# A second load of what is loaded is refused.
_AGAIN = {"load": "reload"}
_TIMEOUT = 24 * 3600.0  # s; each verb has deadlines of its own
# What a person writes. What make writes is hidden, or ends otherwise.
_SUFFIXES = frozenset({".c", ".h", ".S", ".rs", ".py", ".sh", ".mk", ".lds"})
_NAMES = frozenset({"Kbuild", "Makefile", "Kconfig", "dkms.conf", "kscaffold.toml"})
_FIRMWARE = "firmware"  # all that is in this directory goes to the guest
_QUIET = 100  # ms without a change after which the changes of one save are passed on


def is_source(path: Path) -> bool:
    """Whether a file, named from its project's directory, is one that a person writes: not hidden, nor in a
    hidden directory, as a .venv is, and nothing that make leaves.
    """
    if any(part.startswith(".") for part in path.parts) or path.name.endswith(".mod.c"):
        return False
    return path.name in _NAMES or path.suffix in _SUFFIXES or path.parts[0] == _FIRMWARE


class _Sources:
    """Which changes below a project's directory are of its sources; the directories that have some are kept,
    for a directory that has gone does not tell what was in it.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._homes: set[Path] = set()
        self._has_sources(project)

    def __call__(self, _: watchfiles.Change, name: str) -> bool:
        """Whether that is one: a source, or a directory with some that was made, renamed or removed."""
        path = Path(name)
        if path == self._project:
            return False
        if is_source(path.relative_to(self._project)):
            return True
        if path.is_dir():
            return self._has_sources(path)
        known = path in self._homes
        self._homes.discard(path)
        return known

    def _has_sources(self, directory: Path) -> bool:
        found = False
        for home, inside, names in os.walk(directory):
            place = Path(home)
            inside[:] = [name for name in inside if not name.startswith(".")]
            if any(is_source((place / name).relative_to(self._project)) for name in names):
                found = True
                self._homes.update(p for p in (place, *place.parents) if p.is_relative_to(self._project))
        return found


def changes(directory: Path) -> Iterator[tuple[str, ...]]:
    """Nothing at first, when the watch has begun; then the sources of a project that were saved, each time
    some were: also as an editor does that writes a new file and renames it, and directories of sources that
    were made or renamed. What is saved while nobody asks is passed on the next time.

    Raises KeyboardInterrupt at Ctrl-C, KscaffoldError where there is no project.
    """
    project = find_project(directory)
    begun = False
    for found in watchfiles.watch(
        project,
        watch_filter=_Sources(project),
        step=_QUIET,
        rust_timeout=_QUIET,
        yield_on_timeout=True,
        raise_interrupt=True,
    ):
        if found or not begun:
            begun = True
            yield tuple(sorted({str(Path(path).relative_to(project)) for _, path in found}))


def directory_of(words: Sequence[str]) -> Path | None:
    """The directory that a verb's own words name with -C; None where they name none."""
    for word, following in itertools.pairwise((*words, "")):
        if word in ("-C", "--directory"):
            return Path(following)
        for begin in ("--directory=", "-C"):
            if word.startswith(begin):
                return Path(word.removeprefix(begin))
    return None


def again(verb: str, words: Sequence[str], directory: Path, on_line: Callable[[str], None]) -> int:
    """Do a verb, with its own `words`, in a process of its own, and return its exit status; `on_line` gets
    each printed line. `load` takes the place of what is loaded.
    """
    argv = [sys.executable, "-m", "kscaffold", _AGAIN.get(verb, verb), "-C", str(directory), *words]
    return process.stream(argv, on_line, timeout=_TIMEOUT)
