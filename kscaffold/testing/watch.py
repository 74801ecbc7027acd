"""Does a verb again whenever a source of a project is saved."""

import sys
from collections.abc import Callable, Iterator
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
_SUFFIXES = frozenset({".c", ".h", ".S", ".py", ".lds"})
_NAMES = frozenset({"Kbuild", "Makefile", "Kconfig", "dkms.conf", "kscaffold.toml"})
_QUIET = 100  # ms without a change after which the changes of one save are passed on


def is_source(path: Path) -> bool:
    """Whether a file, named from its project's directory, is one that a person writes: not hidden, nor in a
    hidden directory, as a .venv is, and nothing that make leaves.
    """
    if any(part.startswith(".") for part in path.parts) or path.name.endswith(".mod.c"):
        return False
    return path.name in _NAMES or path.suffix in _SUFFIXES


def changes(directory: Path) -> Iterator[tuple[str, ...]]:
    """Nothing at first, when the watch has begun; then the sources of a project that were saved, each time
    some were: also as an editor does that writes a new file and renames it. What is saved while nobody asks
    is passed on the next time.

    Raises KeyboardInterrupt at Ctrl-C, KscaffoldError where there is no project.
    """
    project = find_project(directory)
    begun = False
    for found in watchfiles.watch(
        project,
        watch_filter=lambda _, path: is_source(Path(path).relative_to(project)),
        step=_QUIET,
        rust_timeout=_QUIET,
        yield_on_timeout=True,
        raise_interrupt=True,
    ):
        if found or not begun:
            begun = True
            yield tuple(sorted({str(Path(path).relative_to(project)) for _, path in found}))


def again(verb: str, directory: Path, on_line: Callable[[str], None]) -> int:
    """Do a verb in a process of its own, and return its exit status; `on_line` gets each printed line. `load`
    takes the place of what is loaded.
    """
    argv = [sys.executable, "-m", "kscaffold", _AGAIN.get(verb, verb), "-C", str(directory)]
    return process.stream(argv, on_line, timeout=_TIMEOUT)
