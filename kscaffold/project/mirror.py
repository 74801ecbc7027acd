"""A directory that can't be written to, built all the same: its files, linked from a place in the cache."""

import hashlib
import os
from pathlib import Path

from kscaffold.files import paths

_NOT_LINKED = (".git", ".kscaffold.toml", ".kscaffold.base")


def build_place(directory: Path) -> Path:
    """Where the project in `directory` is built: there, or where that can't be written to in a directory of
    links to its files, made or brought up to date here."""
    if os.access(directory, os.W_OK):
        return directory
    digest = hashlib.blake2b(os.fsencode(directory), digest_size=6).hexdigest()
    place = paths.cache() / "builds" / f"{directory.name}-{digest}"
    _link(directory, place)
    return place


def _link(source: Path, place: Path) -> None:
    """Link each file of `source` from `place`; what was built there stays, links to what is gone go."""
    for where, inside, names in os.walk(source):
        inside[:] = [d for d in inside if d not in _NOT_LINKED]
        here = place / Path(where).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            link = here / name
            if name not in _NOT_LINKED and not link.is_symlink():
                link.unlink(missing_ok=True)
                link.symlink_to(Path(where, name))
    for where, _, names in os.walk(place):
        for name in names:
            link = Path(where, name)
            if link.is_symlink() and not link.exists():
                link.unlink()
