"""A checkpoint: a snapshot of one command's own, of a guest in which work was done that all its tries need.

It is in memory only. The cache keeps guests which nobody has worked in: they serve every command.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from kscaffold import timeouts
from kscaffold.records import replace
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.boot import quiesce
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.restore import FAILURES, restore_into

_PIECE = 1 << 20  # bytes copied at once


@contextlib.contextmanager
def checkpoint(
    planned: Plan, prepare: Callable[[Guest], None], detail: Callable[[str], None]
) -> Iterator[Plan]:
    """The plan of guests that start where `prepare` left one; the given plan where that can't be: without a
    snapshot to begin with, and with devices, which each guest has to find by itself. `detail` hears why QEMU
    could not. Raises what `prepare` raises.
    """
    found = (
        snapshot.find_snapshot(planned.key) if planned.restorable and not planned.machine.devices else None
    )
    if found is None:
        yield planned
        return
    with contextlib.ExitStack() as undo:
        files = {}
        for name in ("ram", "state"):
            files[name] = os.memfd_create(f"kscaffold-{name}")
            undo.callback(os.close, files[name])
        try:
            _freeze(planned, found, files, prepare)
        except FAILURES as error:
            detail(f"no checkpoint was made ({error})")
            frozen = None
        else:
            # A QEMU opens them anew, so that each reads the state from its beginning.
            ram, state = (Path(f"/proc/{os.getpid()}/fd/{files[name]}") for name in ("ram", "state"))
            frozen = snapshot.Snapshot(ram.parent, ram, state, planned.key, 0)
        yield replace(planned, frozen=frozen)


def _freeze(
    planned: Plan, found: snapshot.Snapshot, files: dict[str, int], prepare: Callable[[Guest], None]
) -> None:
    """Restore a guest whose memory is one of `files`, work in it, and write its state to the other."""
    _copy_data(found.ram, files["ram"])
    pending = restore_into(planned, found, files["ram"])
    try:
        guest = pending.greeted()
        prepare(guest)
        quiesce(guest)
        pending.monitor.save(files["state"], timeouts.seconds("RESTORE_TIMEOUT"))
    finally:
        pending.close()


def _copy_data(file: Path, to: int) -> None:
    """Copy a file with holes into an empty one; its holes stay holes."""
    with file.open("rb") as opened:
        source, end = opened.fileno(), os.fstat(opened.fileno()).st_size
        os.ftruncate(to, end)
        at = 0
        while at < end:
            try:
                at = os.lseek(source, at, os.SEEK_DATA)
            except OSError:  # ENXIO: no more data
                return
            until = os.lseek(source, at, os.SEEK_HOLE)
            while at < until:
                at += os.pwrite(to, os.pread(source, min(_PIECE, until - at), at), at)
