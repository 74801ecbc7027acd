"""One build at a time in one project: a lock that ends with its process, and names it to others."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kscaffold import paths
from kscaffold.errors import KscaffoldError

Say = Callable[[str, str], None]
PATIENCE = 60.0  # seconds another build is waited for


@contextmanager
def project_lock(directory: Path, say: Say, *, patience: float | None = None) -> Iterator[Path]:
    """Hold the build lock of the project in `directory`; gives its state directory, which exists then.

    Waits up to `patience` seconds for another process, telling so once. Raises KscaffoldError KS105 that
    names the other process when it takes longer.
    """
    patience = PATIENCE if patience is None else patience
    state = paths.project_state(directory)
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+") as file:
        if not _take(file.fileno()):
            other = _owner(file.fileno())
            say("Waiting", f"for another kscaffold in this project (process {other})")
            deadline = time.monotonic() + patience
            while not _take(file.fileno()):
                if time.monotonic() > deadline:
                    other = _owner(file.fileno())
                    raise KscaffoldError(
                        "KS105",
                        f"{directory.name} is busy: process {other} is building it",
                        cause=f"waited {patience:g} s for it to end",
                        fix=f"try again when it has ended (`ps {other}` shows it)",
                    )
                time.sleep(0.05)
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())
        yield state


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(fd: int) -> str:
    return os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
