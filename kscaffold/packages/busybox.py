"""BusyBox for a shell in the guest: one static program of the distribution's, fetched like a kernel."""

import os
from pathlib import Path

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import KscaffoldError
from kscaffold.files import executable, paths
from kscaffold.files.lock import locked
from kscaffold.files.scratch import scratch_directory
from kscaffold.packages import apt
from kscaffold.progress import SILENT, Progress

_PACKAGE = "busybox-static"


def busybox(
    machine: Architecture | None = None,
    suite: str | None = None,
    *,
    offline: bool,
    progress: Progress = SILENT,
) -> Path:
    """The program for this machine (None: the one we run on), fetched now where the cache has none. `suite`:
    where that machine's kernel is from; Debian 12 has no riscv64.

    Raises KscaffoldError as `apt.fetch` does.
    """
    foreign = None if machine is None or machine is table.host() else machine
    kept = paths.cache() / "busybox" / (f"busybox-{foreign.debian}" if foreign else "busybox")
    if executable.is_genuine(kept):
        return kept
    if offline:
        raise KscaffoldError(
            "KS613",
            "a shell needs BusyBox, which was not fetched yet",
            fix="run the command once without --offline",
        )
    paths.make_own(kept.parent)
    with locked(kept.parent / "lock"):
        if executable.is_genuine(kept):
            return kept
        with scratch_directory() as place:
            apt.fetch([_PACKAGE], suite if foreign else None, place / "unpacked", place, progress, foreign)
            found = [
                p for p in (place / "unpacked").rglob("busybox") if p.is_file() and os.access(p, os.X_OK)
            ]
            if not found:
                raise KscaffoldError("KS614", f"{_PACKAGE} holds no busybox", fix="sudo apt-get update")
            executable.keep(kept, found[0].read_bytes())
    return kept
