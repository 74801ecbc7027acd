"""One build at a time in one project: a lock that ends with its process, and names it to others."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.files.lock import holder_of, opened, try_lock, wait_for_lock, write_holder
from kscaffold.process import start_time
from kscaffold.progress import Progress

_MAKE = "make.group"
PATIENCE = 60.0  # seconds another build is waited for


@contextmanager
def project_lock(directory: Path, progress: Progress, *, patience: float | None = None) -> Iterator[Path]:
    """Hold the build lock of the project in `directory`; gives its state directory, which exists then.

    Waits up to `patience` seconds for another process, telling so once. Raises KscaffoldError KS105 that
    names the other process when it takes longer.
    """
    patience = PATIENCE if patience is None else patience
    state = paths.project_state(directory)
    paths.make_own(state)
    paths.note_project(state, directory)
    with opened(state / "lock") as fd:
        if not try_lock(fd):
            progress.step("Waiting", f"for another kscaffold in this project (process {holder_of(fd)})")
            if not wait_for_lock(fd, patience):
                other = holder_of(fd)
                raise KscaffoldError(
                    "KS105",
                    f"{directory.name} is busy: process {other} is building it",
                    cause=f"waited {patience:g} s for it to end",
                    fix=f"try again when it has ended (`ps {other}` shows it)",
                )
        write_holder(fd)
        _sweep(state / _MAKE)
        yield state


@contextmanager
def lock_if_idle(directory: Path) -> Iterator[bool]:
    """Hold the build lock of the project in `directory` where nobody has it; whether it is held."""
    state = paths.project_state(directory)
    paths.make_own(state)
    with opened(state / "lock") as fd:
        held = try_lock(fd)
        if held:
            write_holder(fd)
        yield held


@contextmanager
def noted_group(state: Path) -> Iterator[Callable[[int], None]]:
    """Note make's process group while it runs, so that the next build ends it if this process is killed."""
    file = state / _MAKE

    def note(group: int) -> None:
        write_whole(file, f"{group} {start_time(group)}\n")

    try:
        yield note
    finally:
        file.unlink(missing_ok=True)


def _sweep(file: Path) -> None:
    """End the make of a build that was killed: it would write into this one's files."""
    try:
        group, born = (int(word) for word in reader.read_text(file, 1 << 10).split())
    except (OSError, ValueError, reader.ForeignFileError):
        return
    if born and start_time(group) == born:  # else the number is another process's by now
        os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while start_time(group) == born and time.monotonic() < deadline:
            time.sleep(0.01)
    file.unlink(missing_ok=True)
