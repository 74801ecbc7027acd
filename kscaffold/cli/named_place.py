"""The directory that a command line names, for what a fix says."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kscaffold import lazy
from kscaffold.project.meant import is_directory

# Commands that take a project's directory as a word.
_ON_PROJECTS = frozenset(
    ("adopt", "build", "check", "info", "list", "load", "logs", "reload", "run", "sign", "unload", "update")
)
# Commands that act on a project, as a fix names them.
_NAMED = lazy.pattern(
    r"kscaffold (?:adopt|build|check|ci (?:github|gitlab)|clean|exec|explain load|info|kbuild [a-z-]+|list"
    r"|load|logs|package (?:dkms|install)|reload|run|sandbox (?:stop|shell)|sign|test|unload|update|watch)"
    r"(?= |$|,|;|:|\))(?! (?:-C|DIR|--help|/))"
)


def named_place(words: Sequence[str]) -> str | None:
    """The directory that the words of a command line name: by -C, or as a word of a verb. None for `new`,
    which makes another one.
    """
    if "new" in words[:2]:
        return None
    for number, word in enumerate(words):
        if word in ("-C", "--directory"):
            return "".join(words[number + 1 : number + 2]) or None
        for beginning in ("--directory=", "-C"):
            if word.startswith(beginning):
                return word.removeprefix(beginning)
    plain = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words[:1] and words[0] in _ON_PROJECTS:
        return next((word for word in plain if is_directory(Path(word))), None)
    return None


def placed(fix: str, words: Sequence[str]) -> str:
    """A fix whose commands are for the directory that the command line named."""
    place = named_place(words)
    return _NAMED.sub(lambda found: f"{found[0]} -C {shlex.quote(place)}", fix) if place else fix


def placed_document(value: Any, words: Sequence[str]) -> Any:
    """A part of a JSON document, each `fix` in it for the directory that the command line named."""
    if isinstance(value, dict):
        return {
            key: placed(part, words)
            if key == "fix" and isinstance(part, str)
            else placed_document(part, words)
            for key, part in value.items()
        }
    return [placed_document(part, words) for part in value] if isinstance(value, list | tuple) else value
