"""Private directories in the place for temporary files (TMPDIR, /tmp). What a killed run leaves is swept by
the next: a run holds a lock (flock) on its directory, which the kernel drops when it dies.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kscaffold.files.lock import locked_directory
from kscaffold.files.sweep import sweep_own_directories

_PREFIX = "kscaffold-work-"


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A new directory of this user's alone, removed at the end. Raises OSError where none can be made."""
    import tempfile  # start-up time: few commands need one

    base = Path(tempfile.gettempdir())
    sweep_own_directories(base, _PREFIX, _remove)
    with locked_directory(lambda: Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))) as directory:
        try:
            yield directory
        finally:
            _remove(directory)


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
