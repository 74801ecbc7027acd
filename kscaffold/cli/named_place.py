"""The directory that a command line names, for what a fix says."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from kscaffold.project.meant import is_directory

# Commands that take a project's directory as a word.
_ON_MODULES = ("build", "check", "info", "load", "reload", "run", "sign", "unload")
# Commands that act on a project, as a fix names them.
_NAMED = re.compile(
    r"kscaffold (?:build|check|clean|exec|info|list|load|logs|reload|run|sandbox stop|sign|test|unload)"
    r"(?= |$|,|;|\))(?! -C)"
)


def named_place(words: Sequence[str]) -> str | None:
    """The directory that the words of a command line name: by -C, or as the one word of a verb."""
    for number, word in enumerate(words):
        if word in ("-C", "--directory"):
            return "".join(words[number + 1 : number + 2]) or None
        for beginning in ("--directory=", "-C"):
            if word.startswith(beginning):
                return word.removeprefix(beginning)
    plain = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words[:1] and words[0] in _ON_MODULES and plain and is_directory(Path(plain[0])):
        return plain[0]
    return None


def placed(fix: str, words: Sequence[str]) -> str:
    """A fix whose commands are for the directory that the command line named."""
    place = named_place(words)
    return _NAMED.sub(lambda found: f"{found[0]} -C {shlex.quote(place)}", fix) if place else fix
