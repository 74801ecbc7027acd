"""What kscaffold keeps on this machine besides what a user made: listed with its size, and removed where
nothing needs it.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kscaffold.files import paths
from kscaffold.files.lock import is_locked
from kscaffold.files.sweep import remove_entry
from kscaffold.kernel import store
from kscaffold.records import dataclass
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import snapshot

_LOG_AGE = 7 * 86400.0  # s that the last log of an ended sandbox stays for `logs`
# What is kept of little size, and made again where it is gone: not worth a line each.
_SMALL = frozenset(("accelerator.json", "addresses", "command-lines", "locks", "restores.json", "tmp"))
_LISTED = frozenset(
    ("kernels", "snapshots", "images", "trusting", "modules", "helpers", "instrumented", "checkouts", "guest")
)
_WHOLE = ("busybox", "forecasts", "try-run")
_BACKUPS = "before-update-*.tar.gz"  # of a user's files: never removed here


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One thing that is kept. `bytes`: on disk. `used`: seconds since 1970 of its last change. `old`: why
    nothing needs the entry now, None where something may.
    """

    kind: str
    path: Path
    bytes: int
    used: float
    old: str | None = None


def list_cache() -> tuple[CacheEntry, ...]:
    """Everything that is kept: kernels, snapshots, programs, projects' state, ended sandboxes.

    Raises KscaffoldError where a directory of ours is not ours alone.
    """
    return tuple(sorted(_entries(), key=lambda e: (e.kind, str(e.path))))


def prune_cache(*, dry_run: bool = False) -> tuple[CacheEntry, ...]:
    """Remove what nothing needs now, or only list it; returns what was removed. What can't be
    removed now is left for the next time, and not told.
    """
    old = [entry for entry in list_cache() if entry.old]
    for entry in [] if dry_run else old:
        if entry.kind == "kernel":
            store.discard(entry.path)
        else:
            remove_entry(entry.path)
    return tuple(entry for entry in old if dry_run or not os.path.lexists(entry.path))


def _entries() -> Iterator[CacheEntry]:
    cache, releases = paths.cache(), {kernel.release for kernel in store.known()}
    unrecorded = store.unrecorded()
    for place in _inside(store.root()):
        if not place.name.startswith("."):
            yield _entry("kernel", place, "it has no record of a kernel" if place in unrecorded else None)
    snapshots = {key: release for key, release, *_ in snapshot.all_snapshots()}
    for place in _inside(snapshot.snapshots_dir()):
        release = snapshots.get(place.name)
        if not place.name.startswith("."):
            yield _entry("snapshot", place, None if release in releases else _gone(release))
    for kind, name in (("image", "images"), ("image", "trusting"), ("modules", "modules")):
        for place in _inside(cache / name):
            yield _entry(kind, place, None if place.name in releases else _gone(place.name))
    for place in _inside(cache / "helpers"):
        yield _entry("helper module", place)
    for place in _inside(cache / "instrumented"):
        yield _entry("instrumented", place, _gone_project(place))
    for place in _inside(cache / "checkouts"):
        yield _entry("checkout", place, _gone_project(place))
    current = guest_root.agent_names()
    for place in _inside(cache / "guest"):
        other = place.name.removesuffix(".sha256") not in current
        yield _entry("agent", place, "made by another version of kscaffold" if other else None)
    for name in _WHOLE:
        if (cache / name).is_dir():
            yield _entry(name, cache / name)
    for place in _inside(cache):
        # Another version's perhaps, or a user's: it is shown, and stays.
        if place.name not in {*_SMALL, *_LISTED, *_WHOLE}:
            yield _entry("unknown", place)
    for place in _inside(cache / "tmp"):
        if not place.name.endswith(".lock"):
            yield _entry("half-made", place, None if is_locked(_lock_of(place)) else "its run has ended")
    for place in _inside(paths.state() / "projects"):
        yield _entry("project state", place, _gone_project(place))
    for place in _inside(paths.runtime() / "sandboxes"):
        if not is_locked(place / "lock") and registry.is_ended(place):
            yield _entry("sandbox", place, _old_log(place))


def _entry(kind: str, place: Path, old: str | None = None) -> CacheEntry:
    size, used = 0, 0.0
    for here in (place, *(Path(where, name) for where, _, names in os.walk(place) for name in names)):
        with contextlib.suppress(OSError):
            facts = here.lstat()
            size, used = size + 512 * facts.st_blocks, max(used, facts.st_mtime)
    return CacheEntry(kind, place, size, used, old)


def _inside(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _gone(release: str | None) -> str:
    return f"its kernel {release} is gone" if release else "it can't be read"


def _gone_project(state: Path) -> str | None:
    project = paths.project_of(state)
    if project is None or project.exists() or next(state.glob(_BACKUPS), None):
        return None
    return f"its project {project} is gone"


def _lock_of(half_made: Path) -> Path:
    return half_made.with_name(f"{half_made.name}.lock")


def _old_log(sandbox: Path) -> str | None:
    age = time.time() - sandbox.stat().st_mtime
    return f"it ended {age / 86400:.0f} days ago" if age > _LOG_AGE else None
