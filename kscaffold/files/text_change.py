"""A text file that is to be changed: shown as a diff first, then there whole or not at all."""

import contextlib
import difflib
import os
from pathlib import Path

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import atomic_dir, reader
from kscaffold.files.atomic import file_beside, sweep_beside
from kscaffold.files.lock import alone_in
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class TextChange:
    """One file before and after. `before` None: it is not there yet. `source`: what it is renamed from."""

    path: Path
    before: str | None
    after: str
    source: Path | None = None

    def diff(self, root: Path) -> str:
        """The change as a unified diff, its names relative to `root`."""
        name = str(self.path.relative_to(root))
        if self.source:
            old = str(self.source.relative_to(root))
            return f"--- {old}\n+++ {name}\nrename from {old}\nrename to {name}\n"
        old = "/dev/null" if self.before is None else f"a/{name}"
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            old,
            f"b/{name}",
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


def read_text(path: Path) -> str:
    """A file as it is, line ends and bytes that are not UTF-8 included."""
    return reader.read_bytes(path).decode("utf-8", "surrogateescape")


def write_changes(change: TextChange) -> None:
    """Make one change; of a renaming the new name, the old one is the caller's to remove.

    A file keeps its mode and owner; a link stays, and what it points at is changed. Raises KscaffoldError
    KS041 where the file has changed since the change was planned, OSError where the place can't be
    written to; nothing is changed then.
    """
    target = Path(os.path.realpath(change.path))
    sweep_beside(target)
    if change.source:
        os.link(change.source, change.path, follow_symlinks=False)
        return
    with alone_in(target.parent):
        if (read_text(target) if target.exists() else None) != change.before:
            raise _changed(change.path)
        _put(change, target)


def _put(change: TextChange, target: Path) -> None:
    with file_beside(target) as hidden:
        _write(hidden, change.after, target if change.before is not None else None)
        if change.before is not None:
            hidden.replace(target)
            return
        try:
            atomic_dir.publish_directory(hidden, target)  # not over a file that has come in the meantime
        except UsageError:
            raise _changed(change.path) from None


def _changed(path: Path) -> KscaffoldError:
    what = f"{path.name} was changed by another program just now"
    return KscaffoldError("KS041", what, fix="run the command again")


def _write(path: Path, text: str, like: Path | None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if like else 0o666)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if like:
            stat = like.stat()
            with contextlib.suppress(PermissionError):  # another's file in a directory of ours
                os.fchown(fd, stat.st_uid, stat.st_gid)
            os.fchmod(fd, stat.st_mode & 0o7777)
        file.write(text)
        file.flush()
        os.fsync(fd)
