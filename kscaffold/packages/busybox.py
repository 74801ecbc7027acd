"""BusyBox for a shell in the guest: one static program of the distribution's, fetched like a kernel."""

import os
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths
from kscaffold.files.lock import locked
from kscaffold.files.scratch import scratch_directory
from kscaffold.packages import apt
from kscaffold.progress import SILENT, Progress

_PACKAGE = "busybox-static"


def busybox(*, offline: bool, progress: Progress = SILENT) -> Path:
    """The program, fetched now where the cache has none. Raises KscaffoldError as `apt.fetch` does."""
    kept = paths.cache() / "busybox" / "busybox"
    if kept.exists():
        return kept
    if offline:
        raise KscaffoldError(
            "KS613",
            "a shell needs BusyBox, which was not fetched yet",
            fix="run the command once without --offline",
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with locked(kept.parent / "lock"):
        if kept.exists():
            return kept
        with scratch_directory() as place:
            apt.fetch([_PACKAGE], None, place / "unpacked", place, progress)
            found = [
                p for p in (place / "unpacked").rglob("busybox") if p.is_file() and os.access(p, os.X_OK)
            ]
            if not found:
                raise KscaffoldError("KS614", f"{_PACKAGE} holds no busybox", fix="sudo apt-get update")
            found[0].rename(kept)
    return kept
