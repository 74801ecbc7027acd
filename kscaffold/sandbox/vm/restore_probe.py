"""Whether this QEMU restores guests of a machine alive, found out by restoring one and remembered.

QEMU 7.2 says that a restored riscv64 or ppc64el guest runs, but leaves its timer unarmed. The agent sleeps a
moment before it answers a greeting: that arms the timer again, or else no answer comes.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from kscaffold.arch.architecture import Architecture
from kscaffold.files import paths
from kscaffold.files.atomic import write_whole
from kscaffold.files.identity import identify

# A guest that was greeted and fell silent is dead; one that did not even take the greeting may have had no
# processor, so that must be seen twice.
_PROVEN = 2


def restores_live(program: str, machine: Architecture) -> bool:
    """Whether a guest of this machine may be restored with this QEMU: no restore has shown the contrary."""
    return int(_read().get(_key(program, machine), 0)) < _PROVEN


def note_dead(program: str, machine: Architecture, *, greeted: bool) -> None:
    """A restored guest gave no sign of life. `greeted`: it had taken the greeting."""
    _write(program, machine, _PROVEN if greeted else int(_read().get(_key(program, machine), 0)) + 1)


def note_alive(program: str, machine: Architecture) -> None:
    """A restored guest lives: what was held against this QEMU is forgotten."""
    if _key(program, machine) in _read():
        _write(program, machine, 0)


def _file() -> Path:
    return paths.cache() / "restores.json"


def _key(program: str, machine: Architecture) -> str:
    return f"{machine.name} {program} {identify(Path(program).resolve()).mtime_ns}"


def _read() -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return paths.recorded(_file())
    return {}


def _write(program: str, machine: Architecture, count: int) -> None:
    record = {**_read(), _key(program, machine): count}
    if not count:
        del record[_key(program, machine)]
    with contextlib.suppress(OSError):
        paths.make_own(_file().parent)
        write_whole(_file(), json.dumps(record))
