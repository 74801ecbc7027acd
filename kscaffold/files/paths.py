"""Where kscaffold keeps files, by the XDG base directory rules, and what is read of them.

Written out rather than taken from platformdirs: its import costs every command 10 ms and more.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from kscaffold.errors import KscaffoldError
from kscaffold.files import reader


def home() -> Path:
    """The user's home directory; `/` for one who has none: no HOME and no entry in the user database."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def _base(variable: str, default: str) -> Path:
    # The XDG rules say to ignore a relative path.
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else home() / default


def cache() -> Path:
    """Kernels and snapshots: large, and can be made again."""
    return _base("XDG_CACHE_HOME", ".cache") / "kscaffold"


def config() -> Path:
    """What the user chose: the default kernel."""
    return _base("XDG_CONFIG_HOME", ".config") / "kscaffold"


def data() -> Path:
    """The key that signs modules, and the certificates of such keys."""
    return _base("XDG_DATA_HOME", ".local/share") / "kscaffold"


def certificates() -> Path:
    """The certificates of keys that modules here were signed with, one a file, by digest."""
    return data() / "certificates"


def state() -> Path:
    """Build logs and build records."""
    return _base("XDG_STATE_HOME", ".local/state") / "kscaffold"


def runtime() -> Path:
    """Sockets and locks of live sandboxes. XDG_RUNTIME_DIR may be unset (cron, su, containers).

    Raises KscaffoldError KS618 where somebody else has made the directory that takes its place.
    """
    value = os.environ.get("XDG_RUNTIME_DIR", "")
    if value.startswith("/") and os.access(value, os.W_OK):
        return Path(value) / "kscaffold"
    place = Path("/tmp") / f"kscaffold-{os.getuid()}"
    with contextlib.suppress(FileNotFoundError):
        if place.lstat().st_uid != os.getuid():
            fix = "export XDG_RUNTIME_DIR=DIR, a directory that is yours alone"
            raise KscaffoldError("KS618", f"{place} belongs to another user", fix=fix)
    return place


def recorded(file: Path) -> dict[str, Any]:
    """What a JSON file of ours holds. Raises OSError, and ValueError for all that we never wrote: no file, no
    text, no object, or one that is nested beyond reading.
    """
    try:
        found = json.loads(reader.read_bytes(file))
    except reader.ForeignFileError as error:
        raise ValueError(error.what) from None
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds no record")
    return found


def project_state(directory: Path) -> Path:
    """The state of one project, by its real path: build log and build record, never in the project."""
    real = os.path.realpath(directory)
    digest = hashlib.blake2b(real.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return state() / "projects" / f"{Path(real).name[:40]}-{digest}"
