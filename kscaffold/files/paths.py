"""Where kscaffold keeps files, by the XDG base directory rules, and what is read of them.

Written out rather than taken from platformdirs: its import costs every command 10 ms and more.
"""

import contextlib
import errno
import hashlib
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any

from kscaffold.errors import KscaffoldError, from_os_error, left_by_root, root_owned
from kscaffold.files import ownership, reader

VARIABLES = (
    "export HOME=DIR, or XDG_CACHE_HOME, XDG_STATE_HOME, XDG_DATA_HOME and XDG_CONFIG_HOME, each a directory "
    "you may write to"
)
"""What helps where the usual places can't be written to."""

_PROJECT = "project"
_BASES = (
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
)

# Directories of ours that were found good: each is looked at once by a process.
_checked: set[str] = set()


def is_directory(path: Path) -> bool:
    """Whether a word is a directory's name. No word is too long, or too strange, to be asked about."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def home() -> Path:
    """The user's home directory. A HOME that is empty, relative or `/` names none: the user database does
    then, and `/` stands for a user who has none there either.
    """
    value = os.environ.get("HOME", "")
    if value.startswith("/") and value.strip("/"):
        return Path(value)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")


def _place(variable: str, default: str) -> Path:
    # The XDG rules say to ignore a relative path.
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else home() / default) / "kscaffold"


def places() -> dict[str, Path]:
    """Our directories by the variable that moves them, as they are or would be: to show, not to use."""
    return {variable: _place(variable, default) for variable, default in _BASES}


def _own(variable: str, default: str) -> Path:
    """Our directory below an XDG base directory. Raises KscaffoldError as `require_own`."""
    place = _place(variable, default)
    require_own(place, f"export {variable}=DIR, a directory that is yours alone")
    return place


def require_own(place: Path, elsewhere: str) -> None:
    """Refuse a directory of ours that somebody else made or may write to: what is in it is believed.

    `elsewhere`: how to have another one. Raises KscaffoldError KS096, and KS097 where it is root's.
    """
    if str(place) in _checked:
        return
    user = os.geteuid()
    _require_directories_above(place)
    # Root in a container has the home of a user whom nobody is; under sudo it would leave files there.
    alone = user != 0 or "SUDO_UID" in os.environ
    why = ownership.weakness(place if place.exists() else place.parent, {user}) if alone else None
    try:
        facts = place.stat()
    except OSError:
        facts = None
    if facts is not None and facts.st_uid == 0 != user:
        raise root_owned(place)
    if why is None and facts is not None and (facts.st_uid != user or ownership.others_may_write(facts)):
        others = f"others may write to {place}"
        why = others if facts.st_uid == user else f"{place} belongs to {ownership.name_of(facts.st_uid)}"
    if why is not None:
        import shlex  # start-up time: seldom needed

        mine = facts is not None and facts.st_uid == user and why == f"others may write to {place}"
        fix = f"chmod -R go-w {shlex.quote(str(place))}" if mine else elsewhere
        sudo = "run kscaffold as yourself: with --host it asks sudo for the one step that needs root"
        raise KscaffoldError(
            "KS096",
            f"{place} is not safe from others",
            cause=why,
            fix=sudo if user == 0 and "SUDO_UID" in os.environ and not mine else fix,
        )
    if facts is not None:
        if user and (left := _left_by_root(place)):
            raise root_owned(left[0], place if len(left) > 1 else None)
        _checked.add(str(place))


def _require_directories_above(place: Path) -> None:
    """Raise KscaffoldError KS006 where a file stands in the way to a directory of ours: no directory is ever
    made below it, whoever may write to that file.
    """
    there = next((above for above in (place, *place.parents) if above.exists()), Path("/"))
    if not there.is_dir():
        raise of_os_error(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there)))


def _left_by_root(place: Path) -> list[Path]:
    """What a directory of ours has of root's that this user can't work with. Kernels are only read, and may
    be another's; without the rest a command would begin anew each time, and say nothing.
    """
    try:
        mine = [entry.path for entry in os.scandir(place) if entry.stat(follow_symlinks=False).st_uid == 0]
    except OSError:  # it is no directory, or goes away: whoever opens it says so
        return []
    needs = {True: os.R_OK | os.X_OK, False: os.R_OK | os.W_OK}
    return [Path(path) for path in sorted(mine) if not os.access(path, needs[path.endswith("/kernels")])]


def make_own(directory: Path) -> None:
    """Make a directory of ours, and those above it that are missing, for this user alone, whatever the umask.

    Raises OSError where it can't be made.
    """
    for place in reversed([p for p in (directory, *directory.parents) if not p.is_dir()]):
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
            if place.lstat().st_mode & 0o700 != 0o700:  # a umask of 0777 takes that, too
                place.chmod(0o700)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def of_os_error(error: OSError) -> KscaffoldError:
    """An operating system's error as `from_os_error` tells it; where one of our own places can't be written
    to, with the variables that name another.
    """
    refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    kept = places().values()
    # The first directory above ours that is missing is what could not be made.
    ours = any(name and (Path(name).is_relative_to(p) or p.is_relative_to(name)) for p in kept)
    if not (refused and ours) or left_by_root(Path(name)):
        return from_os_error(error)
    what = f"{name} can't be written to: {(error.strerror or '').lower()}"
    return KscaffoldError("KS006", what, cause=f"HOME is {os.environ.get('HOME', '')!r}", fix=VARIABLES)


def cache() -> Path:
    """Kernels and snapshots: large, and can be made again."""
    return _own("XDG_CACHE_HOME", ".cache")


def config() -> Path:
    """The directory of what the user chose: the default kernel."""
    return _own("XDG_CONFIG_HOME", ".config")


def data() -> Path:
    """The key that signs modules, and the certificates of such keys."""
    return _own("XDG_DATA_HOME", ".local/share")


def certificates() -> Path:
    """The certificates of keys that modules here were signed with, one a file, by digest."""
    return data() / "certificates"


def state() -> Path:
    """Build logs and build records."""
    return _own("XDG_STATE_HOME", ".local/state")


def runtime() -> Path:
    """Sockets and locks of live sandboxes. XDG_RUNTIME_DIR may be unset (cron, su, containers), or another
    user's (sudo -E): the place is in /tmp then.

    Raises KscaffoldError KS618 where somebody else has made the directory there, KS097 where root has, KS096
    where others may write to it.
    """
    value = os.environ.get("XDG_RUNTIME_DIR", "")
    if value.startswith("/") and os.access(value, os.W_OK | os.X_OK) and _is_own_runtime(Path(value)):
        place = Path(value) / "kscaffold"
    else:
        place = Path("/tmp") / f"kscaffold-{os.geteuid()}"
    fix = "export XDG_RUNTIME_DIR=DIR, a directory that is yours alone"
    with contextlib.suppress(FileNotFoundError):
        facts = place.lstat()
        if facts.st_uid == 0 != os.geteuid() and stat.S_ISDIR(facts.st_mode):
            raise root_owned(place)
        if facts.st_uid == os.geteuid() and not stat.S_ISDIR(facts.st_mode):
            what = "a link" if stat.S_ISLNK(facts.st_mode) else "no directory"
            raise KscaffoldError(
                "KS618", f"{place} is not a directory of your own", cause=f"it is {what}", fix=fix
            )
        if facts.st_uid != os.geteuid():
            whose = ownership.name_of(facts.st_uid)
            raise KscaffoldError(
                "KS618", f"{place} belongs to another user", cause=f"it is {whose}'s", fix=fix
            )
    require_own(place, fix)
    return place


def _is_own_runtime(directory: Path) -> bool:
    return ownership.weakness(directory, {os.geteuid()}) is None


def recorded(file: Path) -> dict[str, Any]:
    """The object in a JSON file of ours. Raises OSError, and ValueError for a file that kscaffold never
    wrote: a FIFO or the like, no text, no object, or an object nested beyond reading.
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


def note_project(state: Path, directory: Path) -> None:
    """Write into a project's state whose it is, so that it can go when the project has gone."""
    file = state / _PROJECT
    if not file.exists():
        file.write_text(os.path.realpath(directory), encoding="utf-8", errors="surrogateescape")


def project_of(state: Path) -> Path | None:
    """The directory of the project that a state belongs to; None where it does not tell."""
    try:
        return Path(reader.read_bytes(state / _PROJECT, 1 << 16).decode("utf-8", "surrogateescape"))
    except (OSError, reader.ForeignFileError):
        return None


def project_state(directory: Path) -> Path:
    """The state of one project, by its real path: build log and build record, never in the project."""
    real = os.path.realpath(directory)
    digest = hashlib.blake2b(real.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return state() / "projects" / f"{Path(real).name[:40]}-{digest}"
