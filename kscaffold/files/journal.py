"""Several files of a project that are replaced together.

What is to be written is put, whole and on disk, into a hidden directory, the journal, which appears by one
rename; then each file is moved from there to its place. A run that is killed before the rename has done
nothing; one killed after it is finished by the next run, for what is left to do is still in the journal.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kscaffold.errors import KscaffoldError
from kscaffold.files import atomic_dir, reader
from kscaffold.files.atomic import sync_directory, write_new
from kscaffold.files.lock import try_lock
from kscaffold.files.tree import File, NotAFile, Ours, is_inside
from kscaffold.records import dataclass

DIRECTORY = ".kscaffold-update"
_PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Write:
    """One path: what it has, what it shall have. None: nothing."""

    path: str
    before: File | None
    after: File | None


def look(project: Path, path: str) -> Ours:
    """What the project has at a path. No link is followed, neither on the way nor there."""
    here = project
    parts = path.split("/")
    for number, part in enumerate(parts, 1):
        here = here / part
        try:
            mode = here.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if number < len(parts) and not stat.S_ISDIR(mode):
            return NotAFile(f"below {'a link' if stat.S_ISLNK(mode) else 'a file'}")
    if stat.S_ISREG(mode):
        return File(reader.read_bytes(here), bool(mode & 0o100))
    return NotAFile(
        "a link" if stat.S_ISLNK(mode) else "a directory" if stat.S_ISDIR(mode) else "a special file"
    )


@contextmanager
def locked(project: Path) -> Iterator[None]:
    """Keep others from writing into the project. Raises KscaffoldError KS053 where another one writes."""
    fd = os.open(project, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not try_lock(fd, without=True):
            raise KscaffoldError(
                "KS053", f"another kscaffold updates {project} just now", fix="run the command again"
            )
        yield
    finally:
        os.close(fd)


def apply(project: Path, writes: Sequence[Write]) -> None:
    """Make all the writes, in their order. Call it under the lock.

    Raises KscaffoldError KS041 where a file has changed since, OSError where a place can't be
    written to; nothing is changed then.
    """
    for write in writes:
        _check_room(project, write)
    with atomic_dir.hidden_beside(project / DIRECTORY) as hidden:
        journal = hidden / "journal"
        journal.mkdir()
        for number, write in enumerate(writes):
            if write.after is not None:
                _stage(project, write, journal / str(number))
        plan = [{"path": w.path, "before": _digest(w.before), "after": _digest(w.after)} for w in writes]
        write_new(journal / _PLAN, json.dumps(plan).encode(), 0o600, sync=True)
        sync_directory(journal)
        for write in writes:
            if _digest(look(project, write.path)) != _digest(write.before):
                raise _meanwhile(write.path)
        atomic_dir.publish_directory(journal, project / DIRECTORY)
    sync_directory(project)
    if not finish(project):
        raise _meanwhile(writes[0].path)


def is_pending(project: Path) -> bool:
    """Whether a run was killed there that had begun to move files."""
    return (project / DIRECTORY / _PLAN).exists()


def finish(project: Path) -> bool:
    """Do what is left to do of a journal; False where there is none that can be gone on with: a file was
    edited since. What was done stays then, and the journal goes. Call it under the lock."""
    journal = project / DIRECTORY
    plan = _read(journal)
    good = plan is not None and all(_is_ready(project, journal, n, p) for n, p in enumerate(plan))
    if plan is not None and good:
        for number, entry in enumerate(plan):
            _move(project, journal / str(number), entry)
    _remove(journal)
    return good


def _read(journal: Path) -> list[dict[str, Any]] | None:
    """The plan, where it is one. The directory may have come with someone else's project."""
    try:
        if not stat.S_ISDIR(journal.lstat().st_mode):
            return None
        plan = json.loads(reader.read_bytes(journal / _PLAN).decode())
    except (OSError, ValueError):
        return None
    good = isinstance(plan, list) and all(
        isinstance(e, dict) and set(e) == {"path", "before", "after"} and is_inside(str(e["path"]))
        for e in plan
    )
    return plan if good else None


def _is_ready(project: Path, journal: Path, number: int, entry: dict[str, Any]) -> bool:
    """Whether an entry is done, or can be."""
    here = _digest(look(project, entry["path"]))
    if here == entry["after"]:
        return True
    if here != entry["before"]:
        return False
    return entry["after"] is None or _digest(look(journal, str(number))) == entry["after"]


def _move(project: Path, staged: Path, entry: dict[str, Any]) -> None:
    target = project / entry["path"]
    if entry["after"] is None:
        target.unlink(missing_ok=True)
        for above in target.parents:
            if above == project:
                break
            with suppress(OSError):  # others' files are there
                above.rmdir()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # moved already
        staged.replace(target)
    sync_directory(target.parent)


def _remove(journal: Path) -> None:
    """Remove what is ours; the plan first: without it a journal is nothing to go on with."""
    with suppress(OSError):
        (journal / _PLAN).unlink(missing_ok=True)
        for entry in journal.iterdir():
            if entry.name.isdigit():
                entry.unlink()
        journal.rmdir()


def _meanwhile(path: str) -> KscaffoldError:
    return KscaffoldError(
        "KS041", f"{path} was changed by another program just now", fix="run the command again"
    )


def _check_room(project: Path, write: Write) -> None:
    """Raise before anything is done what would be raised in the middle of it."""
    where = (project / write.path).parent
    while not where.exists():
        where = where.parent
    if not os.access(where, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(where))


def _stage(project: Path, write: Write, path: Path) -> None:
    """The new file: with mode and owner of the old one, else as any file of the user's."""
    assert write.after
    mask = os.umask(0)
    os.umask(mask)
    if write.before is None:
        mode = 0o777 & ~mask | 0o100 if write.after.executable else 0o666 & ~mask
        write_new(path, write.after.content, mode, sync=True)
        return
    old = (project / write.path).stat()
    mode = stat.S_IMODE(old.st_mode)
    if write.after.executable != write.before.executable:
        # For whom may read it.
        mode = mode | (mode & 0o444) >> 2 | 0o100 if write.after.executable else mode & ~0o111
    write_new(path, write.after.content, mode, sync=True)
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # another's file in a directory of ours
            os.chown(path, old.st_uid, old.st_gid)
            path.chmod(mode)


def _digest(file: Ours) -> str | None:
    if file is None:
        return None
    if isinstance(file, NotAFile):
        return file.what
    return f"{hashlib.sha256(file.content).hexdigest()} {file.executable:d}"
