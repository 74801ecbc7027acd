"""Nothing to do, said without make: every file make would look at is as it was after the last build.

The record (`record.py` writes it) names those files with their dates, sizes and inodes. One difference, and
make is asked: this answers "nothing has changed", never "what would make do". On the path of every load
and run, so it imports little and costs a few milliseconds.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from kscaffold import __version__
from kscaffold.files import paths
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.project import ModuleTarget, Project

# Of the record; another version of kscaffold may have looked at less.
SCHEMA = f"4 {__version__}"
RECORD = "build.json"
# Editors' names for what they keep beside a file; they come and go and make does not look at them.
_EDITORS = (".swp", ".swo", ".swx", "~", ".tmp")

# Variables that differ from terminal to terminal: left out of the record, and a Kbuild that looks at one
# of them is not judged (kbuild_text.py). Not a regular expression: compiling one costs every load 3 ms.
_UNRECORDED = frozenset((
    "PWD", "OLDPWD", "SHLVL", "_", "COLORTERM", "COLUMNS", "LINES", "PROMPT_COMMAND", "HISTFILE",
    "HISTSIZE", "WINDOWID", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "STY", "INVOCATION_ID",
    "JOURNAL_STREAM", "MAIL", "LS_COLORS", "PAGER", "EDITOR", "VISUAL", "NO_COLOR", "LOGNAME",
    "USER",
))  # fmt: skip
_UNRECORDED_BEGIN = (
    *("TERM", "PS1", "PS2", "PS4", "SSH_", "XDG_", "DBUS_", "TMUX", "VSCODE_", "GPG_", "LESS", "PYTEST_"),
    *("PYTHON", "KSCAFFOLD_", "SUDO_", "VIRTUAL_ENV"),
)


def is_unrecorded(variable: str) -> bool:
    """Whether the record leaves this variable of the environment out."""
    return variable in _UNRECORDED or variable.startswith(_UNRECORDED_BEGIN)


def is_fresh(project: Project, kernel: Kernel) -> bool:
    """Whether make would find nothing to do for `project` and `kernel`. False when that is not certain."""
    return fresh_targets(project.directory, kernel) == project


def fresh_targets(directory: Path, kernel: Kernel) -> Project | None:
    """The project in `directory`, when all it builds is up to date for `kernel`; else None.

    Runs no program; about 5 ms.
    """
    record = _read(directory)
    if record is None or kernel.build is None or why_not(record, directory, kernel) is not None:
        return None
    return _project(record)


def recorded_targets(directory: Path) -> tuple[ModuleTarget, ...]:
    """The modules that the last build in `directory` made, up to date or not; none without a record."""
    record = _read(directory)
    return _project(record).targets if record and record.get("targets") else ()


def why_not(record: dict[str, Any], directory: Path, kernel: Kernel) -> str | None:
    """The first thing found that is not as it was, or None."""
    if record["directory"] != os.path.realpath(directory):
        return "the directory"
    if record["kernel"] != os.path.realpath(kernel.build or ""):
        return "the kernel"
    if record["machine"] != machine():
        return "this machine's own kernel"
    if record["environment"] != environment_digest():
        return "the environment"
    for name, place in record["programs"].items():
        if find_program(str(name)) != place:
            return f"the program {name}"
    for place, names in record["names"].items():
        if names_in(place) != names:
            return f"the files in {place}"
    for file, facts in record["files"].items():
        if facts_of(file) != facts:
            return str(file)
    return None


def last_tree(directory: Path) -> str | None:
    """The identity (other_kernel.py) of the tree of the last build here that we know of."""
    record = _read(directory)
    return str(record["tree"]) if record else None


def last_kernel(directory: Path) -> str | None:
    """The build tree that the objects in `directory` were last built for; None where none is known."""
    record = _read(directory)
    return str(record["kernel"]) if record else None


def facts_of(file: str) -> list[int] | None:
    """The numbers of a file that change when the file does; None where there is no such file."""
    try:
        stat = os.stat(file)  # noqa: PTH116 (no FileIdentity either: there are a thousand of these)
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino]


def names_in(directory: str) -> list[str]:
    """The names in a directory, sorted, without what editors come and go with."""
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except OSError:
        return []
    return sorted(n for n in names if not n.endswith(_EDITORS) and n[:2] != ".#" and n[:1] != "#")


def find_program(name: str) -> str | None:
    """As `shutil.which`, for names without a slash too: where a program is found, links not resolved."""
    for place in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = f"{place}/{name}"
        if os.access(path, os.X_OK) and Path(path).is_file():
            return path
    return None


def machine() -> list[str]:
    """What uname says of this machine."""
    return list(os.uname())


def environment_digest() -> str:
    """A digest of every variable make and the compiler get, but for those no Kbuild we judge looks at."""
    kept = sorted(f"{k}={v}" for k, v in os.environ.items() if not is_unrecorded(k))
    text = "\0".join(kept).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _read(directory: Path) -> dict[str, Any] | None:
    try:
        record = paths.recorded(paths.project_state(directory) / RECORD)
    except (OSError, ValueError):
        return None
    return record if record.get("schema") == SCHEMA else None


def _project(record: dict[str, Any]) -> Project:
    targets = tuple(
        ModuleTarget(t["name"], tuple(t["objects"]), Path(t["directory"]), Path(t["ko"]))
        for t in record["targets"]
    )
    read = tuple(Path(p) for p in record["read"])
    return Project(Path(record["directory"]), Path(record["kbuild"]), targets, read)
