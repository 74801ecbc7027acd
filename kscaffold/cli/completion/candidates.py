"""The words that can stand at the cursor, from a table and the cache, before typer is imported (0.1 s).

Imports little, and answers with nothing rather than with an error.
"""

import contextlib
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kscaffold.cli.aliases import ALIASES
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader

_TABLE = Path(__file__).with_name("table.json")
_MOST_BYTES = 16 << 20  # of a .ko: with more a Tab key would have to wait
_MOST = 400  # answers: a shell asks before it shows more than a hundred
_MODULE_NAMES = re.compile(r"^[ \t]*obj-\S+[ \t]*[:+]?=(.*)$", re.M)


def complete(words: Sequence[str]) -> int:
    """Print what the last of `words` (all after `kscaffold`) can become, one a line. The exit status: 0."""
    with contextlib.suppress(Exception):  # a shell would print the traceback into the user's line
        # A name that would steer the terminal, or be two lines, is typed by nobody.
        found = sorted({word for word in _candidates(list(words) or [""]) if word.isprintable()})
        sys.stdout.write("".join(f"{word}\n" for word in found[:_MOST]))
        sys.stdout.flush()
    return 0


def _candidates(words: list[str]) -> Iterable[str]:
    *before, current = words
    table: dict[str, Any] = json.loads(reader.read_text(_TABLE))
    commands: dict[str, Any] = table["commands"]
    if before[:1] == ["help"]:
        before = before[1:]
    if not before:
        return _beginning([*commands, *ALIASES, "help"], current)
    verb = ALIASES.get(before[0], before[0])
    known = commands.get(verb)
    if known is None:
        return []
    rest = before[1:]
    if "commands" in known:
        if not rest:
            return _beginning(known["commands"], current)
        known, rest = known["commands"].get(rest[0]), rest[1:]
        if known is None:
            return []
    option, equals, value = current.partition("=")
    if equals and option in known["options"]:
        return (f"{option}={word}" for word in _values(known["options"][option], table, value, rest))
    kind = known["options"].get(rest[-1], "") if rest else ""
    if kind:
        return _values(kind, table, current, rest)
    if current.startswith("-"):
        return _beginning(known["options"], current)
    kind = "ko" if before[:2] == ["explain", "load"] else known["argument"]
    return _values(kind, table, current, rest)


def _beginning(words: Iterable[str], with_: str) -> list[str]:
    return [word for word in words if word.startswith(with_)]


def _values(kind: str, table: dict[str, Any], current: str, rest: list[str]) -> Iterable[str]:
    """The values of a kind that begin with `current`."""
    if kind in table["lists"]:
        words = table["lists"][kind]
        found = _beginning(words, current) or _beginning(words, current.upper() or "\0")
        return found + (_files(current, "") if kind == "topic" else [])
    find = _KINDS.get(kind)
    return find(current, rest) if find else []


def _cache() -> Path:
    value = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(value) if value.startswith("/") else Path.home() / ".cache") / "kscaffold"


def _kernels(current: str, _: list[str]) -> list[str]:
    return _beginning([e.name for e in os.scandir(_cache() / "kernels") if e.name[0] != "."], current)


def _directory(rest: list[str]) -> Path:
    """The directory that -C names, else the one we are in."""
    for option, value in itertools.pairwise(rest):
        if option in ("-C", "--directory"):
            return Path(value).expanduser()
    return Path()


def _modules(current: str, rest: list[str]) -> list[str]:
    """The modules that the Kbuild or Makefile here names in obj-m. Its text is read; make is not asked."""
    for name in ("Kbuild", "Makefile"):
        with contextlib.suppress(OSError, KscaffoldError):
            text = reader.read_text(_directory(rest) / name).replace("\\\n", " ")
            named = " ".join(_MODULE_NAMES.findall(text)).split()
            found = [word.removesuffix(".o") for word in named if re.fullmatch(r"[\w-]+\.o", word)]
            if found:
                return _beginning(found, current)
    return []


def _kos(current: str, rest: list[str]) -> list[str]:
    """Files for a load; once one of them is named, or the project has one, its parameters too."""
    return [*_files(current, ".ko", _directory(rest)), *_parameters(current, rest)]


def _parameters(current: str, rest: list[str]) -> list[str]:
    """`NAME=` for each parameter of the .ko that is named, else of the only one here."""
    here = _directory(rest)
    named = [here / word for word in rest if word.endswith(".ko")] or list(here.glob("*.ko"))
    if len(named) != 1:
        return []
    given = {word.partition("=")[0] for word in rest}
    data = b""
    with contextlib.suppress(OSError, KscaffoldError):
        data = reader.read_bytes(named[0], _MOST_BYTES)
    # .modinfo's strings end with NUL and stand one after the other; a compressed .ko shows none.
    found = re.findall(rb"\0parmtype=([A-Za-z_]\w*):", data)
    return _beginning([f"{name.decode()}=" for name in found if name.decode() not in given], current)


def _files(current: str, ending: str, below: Path = Path()) -> list[str]:
    """Files of an ending, and directories with a slash after them."""
    directory, _, start = current.rpartition("/")
    prefix = f"{directory}/" if "/" in current else ""
    found = []
    for entry in os.scandir(below / Path(prefix or ".").expanduser()):
        if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
            if entry.is_dir():
                found.append(f"{prefix}{entry.name}/")
            elif entry.name.endswith(ending):
                found.append(f"{prefix}{entry.name}")
    return found


_KINDS: dict[str, Callable[[str, list[str]], list[str]]] = {
    "kernel": _kernels,
    "module": _modules,
    "ko": _kos,
    "file.ko": lambda current, rest: _files(current, ".ko", _directory(rest)),
    "file": lambda current, rest: _files(current, ""),
    "directory": lambda current, rest: [f for f in _files(current, "") if f.endswith("/")],
}
