"""A copy of a template of our own: nothing in it leads out of it, and nobody changes it while it is read."""

import os
import stat
from pathlib import Path

from kscaffold.errors import UsageError
from kscaffold.records import dataclass, field
from kscaffold.scaffold.external.source import MOST_BYTES, MOST_FILES

_OURS = ".kscaffold-new-"  # the directory that is copied to may be in the one that is copied
_CHUNK = 1 << 20


@dataclass(slots=True)
class TemplateCopy:
    """What was copied to `root`: `files`, `entries` (with directories), `size` in bytes.

    `left_out`: paths that were not copied, with the reason. `links`: the paths of links that were.
    """

    root: Path
    files: int = 0
    size: int = 0
    entries: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)


def copy_template(source: Path, root: Path) -> TemplateCopy:
    """Copy a template's files to the new directory `root`, without its `.git`.

    Links to files of the template stay links; all others, and whatever is no file, are left out.
    Raises UsageError where it is too large or can't be read.
    """
    taken = TemplateCopy(root)
    root.mkdir(mode=0o700)
    try:
        _copy(source, Path(), taken, 0)
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        if not str(error.filename).startswith(str(source)):
            raise
        raise UsageError(
            "KS071", f"the template can't be read: {error.filename}", cause=(error.strerror or "").lower()
        ) from None
    real = root.resolve()
    for name in taken.links:
        link = root / name
        try:
            end = link.resolve(strict=True)
        except (OSError, RuntimeError):  # dangling, or a circle
            end = None
        if end is None or not end.is_relative_to(real) or not end.is_file():
            taken.left_out[name] = f"a link to {str(link.readlink())!a}, which is no file of the template"
            link.unlink()
            taken.files -= 1
    return taken


def _copy(source: Path, inside: Path, taken: TemplateCopy, depth: int) -> None:
    if depth > 100:
        raise _too_large()
    for entry in sorted(os.scandir(source / inside), key=lambda e: e.name):
        if entry.name.startswith(_OURS) or (not depth and entry.name == ".git"):
            continue
        path = inside / entry.name
        there = taken.root / path
        taken.entries += 1
        if taken.entries > MOST_FILES:
            raise _too_large()
        if entry.is_symlink():
            there.symlink_to(Path(entry.path).readlink())
            taken.links.append(str(path))
            taken.files += 1
        elif entry.is_dir(follow_symlinks=False):
            there.mkdir(mode=0o700)
            _copy(source, path, taken, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            _copy_file(entry.path, there, taken)
            taken.files += 1
        else:
            taken.left_out[str(path)] = "a device, a pipe or a socket"


def _copy_file(source: str, there: Path, taken: TemplateCopy) -> None:
    # Not through a link, and not waiting for a pipe, that came in its place since it was listed.
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as old:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or taken.size + facts.st_size > MOST_BYTES:
            raise _too_large()
        with there.open("xb") as new:
            while chunk := old.read(_CHUNK):
                taken.size += len(chunk)
                if taken.size > MOST_BYTES:
                    raise _too_large()
                new.write(chunk)
        there.chmod(0o700 if facts.st_mode & stat.S_IXUSR else 0o600)


def _too_large() -> UsageError:
    return UsageError(
        "KS073",
        "the template is too large",
        cause=f"it has more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB",
        fix="give the part you need: --template PATH",
    )
