"""Command lines that were parsed before: what they mean is kept, and typer is not needed for them again.

What a line means depends on its words and on the options there are, on nothing else, for the commands named
here. Lines with a path that was looked at while it was parsed (-C DIR) are not kept.
"""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kscaffold import __version__
from kscaffold.cli.verbs import COMMANDS, command_of
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole

_VERBS = frozenset({"run", "load", "unload", "reload", "check", "build", "list", "logs"})
_MOST_LINES = 64
_MOST_BYTES = 4096  # of a line
_HERE = Path(__file__).parent


def remembered(args: Sequence[str]) -> Callable[[], Any] | None:
    """The command that these words ask for, with its options; None where they have to be parsed."""
    if not args or args[0] not in _VERBS:
        return None
    values = _read(args[0]).get(_line(args))
    return functools.partial(command_of(args[0]), **values) if isinstance(values, dict) else None


def noting(args: Sequence[str], command: Callable[..., Any]) -> Callable[..., Any]:
    """`command`, which keeps what `args` mean when typer calls it."""
    if not args or args[0] not in _VERBS:
        return command

    @functools.wraps(command)
    def noted(**values: Any) -> Any:
        _note(args, values)
        return command(**values)

    return noted


def _note(args: Sequence[str], values: dict[str, Any]) -> None:
    if not all(map(_is_plain, values.values())) or len(_line(args)) > _MOST_BYTES:
        return
    try:
        if not paths.cache().is_dir():
            return
        file = _file(args[0])
        paths.make_own(file.parent)
        lines = {**_read(args[0]), _line(args): values}
        for line in list(lines)[:-_MOST_LINES]:
            del lines[line]
        write_whole(file, json.dumps({"stamp": _stamp(args[0]), "lines": lines}))
    except (OSError, KscaffoldError):
        return  # it is parsed again the next time


def _is_plain(value: Any) -> bool:
    """Whether JSON brings it back as it is."""
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return value is None or type(value) in (str, int, float, bool)


def _read(verb: str) -> dict[str, Any]:
    try:
        kept = json.loads(reader.read_text(_file(verb), _MOST_LINES * 4 * _MOST_BYTES))
        lines = kept["lines"] if kept["stamp"] == _stamp(verb) else {}
    except (OSError, ValueError, LookupError, TypeError, KscaffoldError):
        return {}
    return lines if isinstance(lines, dict) else {}


def _file(verb: str) -> Path:
    return paths.cache() / "command-lines" / f"{verb}.json"


def _line(args: Sequence[str]) -> str:
    return json.dumps(list(args))


def _stamp(verb: str) -> list[Any]:
    """Changes with the options there are. Raises OSError where that can't be told."""
    files = (_HERE / "options.py", _HERE / "commands" / f"{COMMANDS[verb].partition(':')[0]}.py")
    return [__version__, *(file.stat().st_mtime_ns for file in files)]
