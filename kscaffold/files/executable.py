"""Programs kept in the cache: each with its digest beside it, which is looked at before the program runs or
is packed. A file that was cut short, or replaced, is made again.
"""

import hashlib
from pathlib import Path

from kscaffold.files import ownership, reader
from kscaffold.files.atomic import write_whole

_LARGEST = 16 << 20  # bytes


def keep(program: Path, content: bytes) -> None:
    """Put a program and its digest in their places. Raises OSError, the old ones still there."""
    write_whole(program, content, mode=0o755)
    write_whole(_record(program), _digest(content))


def is_genuine(program: Path) -> bool:
    """Whether a program is there, is this user's or root's, and has the content that was kept."""
    try:
        facts = program.stat()
        content = reader.read_bytes(program, _LARGEST)
        recorded = reader.read_bytes(_record(program), 1 << 10).decode()
    except (OSError, ValueError, reader.ForeignFileError):
        return False
    mine = facts.st_uid in ownership.own_users() and not ownership.others_may_write(facts)
    return mine and recorded == _digest(content)


def _record(program: Path) -> Path:
    return program.with_name(f"{program.name}.sha256")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
