"""Is it still the same file? What stat(2) tells without reading it."""

import os
from pathlib import Path

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file as it was when it was looked at. Times: nanoseconds since 1970.

    Two equal identities of one path: nobody has written to, replaced or touched the file between. The device
    is left out, because some file systems get another number at each mount.
    """

    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int

    def facts(self) -> dict[str, int]:
        """The facts by name, as a record keeps them: FileIdentity(**facts) is the same identity."""
        return {"size": self.size, "inode": self.inode, "mtime_ns": self.mtime_ns, "ctime_ns": self.ctime_ns}

    @property
    def stamp(self) -> tuple[int, int, int]:
        """Size, modification time and inode: the same after a chmod or a new link, which change ctime."""
        return self.size, self.mtime_ns, self.inode


def identify(file: Path | str | int) -> FileIdentity:
    """The identity of a file; links are followed. Raises OSError."""
    s = os.stat(file)  # noqa: PTH116 (a descriptor has no Path)
    return FileIdentity(s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)


def identify_if_there(file: Path | str) -> FileIdentity | None:
    """The identity of a file, None where there is none that can be looked at."""
    try:
        return identify(file)
    except OSError:
        return None
