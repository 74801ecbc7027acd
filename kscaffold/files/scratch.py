"""Private directories for half-made things. What a killed run leaves is swept by the next."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kscaffold.files import paths
from kscaffold.files.lock import locked
from kscaffold.files.sweep import own_name, remove_entry, sweep_unlocked


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new directory on the cache's file system, removed at the end; and the sweep of abandoned ones.

    A directory is in use for as long as its lock file is locked: the kernel drops the lock of a killed
    process. Lock files, not the directories, are locked, because NFS can't lock a directory.
    """
    base = paths.cache() / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    _sweep(base)
    name = own_name("")
    with locked(base / f"{name}.lock"):
        try:
            (base / name).mkdir()
            yield base / name
        finally:
            shutil.rmtree(base / name, ignore_errors=True)
            (base / f"{name}.lock").unlink(missing_ok=True)


def _sweep(base: Path) -> None:
    """Remove what nobody holds: every directory has its lock file before it is made, and as long as it is."""
    directories = [entry for entry in base.iterdir() if entry.suffix != ".lock"]
    sweep_unlocked(directories, lambda entry: entry.with_name(f"{entry.name}.lock"), remove_entry)
    # The lock file goes last, while it is held: whoever opens it meanwhile sees that it is no longer there.
    sweep_unlocked(base.glob("*.lock"), lambda lock: lock, _remove_with_lock)


def _remove_with_lock(lock: Path) -> None:
    remove_entry(lock.with_suffix(""))
    remove_entry(lock)
