"""A directory that appears whole or not at all, and never over anything.

The work is done in a hidden directory beside the target, so on the same file system, and moved to its
place by one renameat2(RENAME_NOREPLACE). What a killed run leaves is that hidden directory; the next
run sweeps it. A run holds a lock (flock) on its directory, which the kernel drops when it dies.
"""

import ctypes
import errno
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kscaffold.errors import UsageError
from kscaffold.files.lock import locked_directory
from kscaffold.files.sweep import sweep_own_directories

_PREFIX = ".kscaffold-new-"
# Shows that a directory of that name is ours to remove.
_MARK = "made-by-kscaffold-new"

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


@contextmanager
def hidden_beside(target: Path) -> Iterator[Path]:
    """A hidden directory of our own in the target's parent; removed on the way out, whatever happens.

    Raises OSError, which names the target, where the place can't be written to or is full.
    """
    sweep(target.parent)
    try:
        with locked_directory(lambda: _made(target.parent)) as directory:
            try:
                (directory / _MARK).touch()
                yield directory
            finally:
                _remove(directory)
    except OSError as error:
        # What the user asked for, not a hidden file; a failed write(2) has no name at all.
        raise OSError(error.errno, error.strerror, str(target)) from error


def publish_directory(whole: Path, target: Path) -> None:
    """Move a finished directory to its place. Raises UsageError when something is there."""
    try:
        _rename_noreplace(whole, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise path_exists(target) from None
        raise


def sweep(parent: Path) -> None:
    """Remove what dead runs left here: directories of our name, owner and mark that nobody locks."""
    sweep_own_directories(parent, _PREFIX, _remove_if_marked)


def _remove_if_marked(directory: Path) -> None:
    # A run killed between its first two steps has not marked its directory yet.
    if (directory / _MARK).is_file() or not any(directory.iterdir()):
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove a directory of ours, the mark last: what can't be removed now is for the next run."""
    with suppress(OSError):
        for entry in directory.iterdir():
            if entry.name != _MARK:
                shutil.rmtree(entry, ignore_errors=True)
                with suppress(OSError):
                    entry.unlink()
        if [entry.name for entry in directory.iterdir()] in ([_MARK], []):
            shutil.rmtree(directory, ignore_errors=True)


def _made(parent: Path) -> Path:
    directory = parent / f"{_PREFIX}{secrets.token_hex(6)}"
    directory.mkdir(mode=0o700)
    return directory


def _rename_noreplace(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        if not libc.renameat2(
            _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
        ):
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):  # this file system or kernel has no such rename
            raise OSError(number, os.strerror(number), str(target))
    # rename(2) of a directory refuses a file and a directory with anything in it. What is left is an
    # empty directory made since this line, which it would replace by the project.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def path_exists(target: Path) -> UsageError:
    """The error for a target that is there already."""
    return UsageError(
        "KS020",
        f"{target} exists already",
        cause="a new project never goes into or over anything that is there",
        fix=f"choose another name, or look at it: ls -la {shlex.quote(str(target))}",
    )
