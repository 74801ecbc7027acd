"""Kbuild's `.NAME.cmd` files: how an object was made, and of what."""

import re
from pathlib import Path

from kscaffold.files import reader
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One `.cmd` file.

    `target` and `source` as Kbuild wrote them (mostly absolute); `line` the shell command; `dependencies`
    as written: absolute, or relative to where Kbuild ran. `markers` are the files whose absence matters
    too (`include/config/NAME`).
    """

    target: str
    line: str
    source: str | None
    dependencies: tuple[str, ...]
    markers: tuple[str, ...]


def command_file(target: Path) -> Path:
    """Where Kbuild keeps the command of `target`."""
    return target.with_name(f".{target.name}.cmd")


def read_command(file: Path) -> Command | None:
    """Parse a `.cmd` file; None when there is none or it is not of this form.

    Both spellings: `cmd_PATH :=` up to 6.2, `savedcmd_PATH :=` since.
    """
    try:
        text = reader.read_bytes(file).decode()
    except (OSError, UnicodeDecodeError):
        return None
    first, _, rest = text.partition("\n")
    match = re.match(r"(?:saved)?cmd_(\S+) := (.*)", first)
    if match is None:
        return None
    source = re.search(r"^source_\S+ := (\S+)$", rest, re.M)
    dependencies = re.findall(r"^  ([^\s$\\]+)(?: \\)?$", rest, re.M)
    markers = re.findall(r"\$\(wildcard ([^\s)]+)\)", rest)
    return Command(
        match[1], _unmade(match[2]), source[1] if source else None, tuple(dependencies), tuple(markers)
    )


def _unmade(line: str) -> str:
    """The command as the shell got it: `$$` and `$(pound)` are make's spelling."""
    return line.replace("$(pound)", "#").replace("$$", "$").strip()
