"""The files of a project as a template makes them: path and content, wherever they were rendered from; and
what lies in a tree that others may be changing.
"""

import fnmatch
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from kscaffold.files import reader
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """A plain file."""

    content: bytes
    executable: bool = False


Tree = Mapping[str, File]
"""Files by their path relative to the project, with `/` between the parts."""


def below(directory: Path, pattern: str) -> Iterator[Path]:
    """What lies below a directory under a name that fits a pattern (`*.c`). As rglob() does it, but for a
    directory that goes meanwhile: make keeps some (`.tmp_PID`) while it asks a compiler.
    """
    for where, inside, names in os.walk(directory):
        for name in fnmatch.filter((*inside, *names), pattern):
            yield Path(where, name)


def read_tree_files(directory: Path) -> dict[str, File]:
    """The plain files below a directory."""
    found = {}
    for where, _, names in os.walk(directory):
        for name in names:
            path = Path(where, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found[str(path.relative_to(directory))] = File(reader.read_bytes(path), bool(mode & 0o100))
    return found


def is_inside(path: str) -> bool:
    """Whether a path that was read from a file names a place in the project, and nothing of git's."""
    parts = path.split("/")
    return (
        bool(path)
        and "\0" not in path
        and str(PurePosixPath(path)) == path
        and not path.startswith("/")
        and ".." not in parts
        and parts != ["."]
        and parts[0] != ".git"
    )


@dataclass(frozen=True, slots=True)
class NotAFile:
    """What lies at a path of the project, and is no plain file."""

    what: str


Ours = File | NotAFile | None
"""What the project has at a path. None: nothing."""
