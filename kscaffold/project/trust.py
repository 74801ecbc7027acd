"""Whose tree it is: make runs what a Kbuild says, so it reads none that somebody else may have written.

The rule of git's safe.directory: the user's own directories and root's are read, others when they are named.
"""

import os
import shlex
import stat
from pathlib import Path

from kscaffold.errors import UsageError
from kscaffold.files import ownership

VARIABLE = "KSCAFFOLD_TRUST"

# Named on this command's line, or by its user's answer.
_named: set[Path] = set()


class UntrustedError(UsageError):
    """KS095: make would run what another user may have written. `directory`: the project."""

    def __init__(self, directory: Path, why: str) -> None:
        place = shlex.quote(str(directory))
        super().__init__(
            "KS095",
            f"{directory} is not read by make: {why}",
            cause="make runs what its Kbuild says, $(shell …) included, as you",
            fix=f"look at it; then name it: {VARIABLE}={place} kscaffold …, or -C {place}",
        )
        self.directory = directory


def name(directory: Path) -> None:
    """The user means this directory, whosever it is."""
    _named.add(directory.resolve())


def is_named(directory: Path) -> bool:
    """Whether the user has named this very directory. `directory`: its links resolved."""
    return directory in _named


def require_trusted(directory: Path, kbuild: Path | None = None) -> None:
    """Refuse a project that another user owns, or that others may write to, unless it is named. `kbuild`: the
    file that make would read there. Raises UntrustedError.
    """
    directory = directory.resolve()
    if directory in _named or any(_covers(word, directory) for word in _words()):
        return
    users = ownership.own_users()
    why = ownership.weakness(directory, users)
    if why is None and kbuild is not None:
        why = _weak_file(kbuild, users)
    if why is not None:
        raise UntrustedError(directory, why)


def require_trusted_settings(file: Path) -> None:
    """Refuse a file above the tests whose words pytest would run, where another user may have written it and
    nobody named its directory. Raises UsageError KS095.
    """
    directory = file.parent.resolve()
    if directory in _named or any(_covers(word, directory) for word in _words()):
        return
    users = ownership.own_users()
    why = ownership.weakness(directory, users) or _weak_file(file, users)
    if why is not None:
        raise UsageError(
            "KS095",
            f"{file} is not read by pytest: {why}",
            cause="pytest looks for its settings in each directory above the tests, and runs what they name",
            fix=f"look at it; then name it: {VARIABLE}={shlex.quote(str(directory))} kscaffold …",
        )


def _weak_file(file: Path, users: frozenset[int]) -> str | None:
    """Others can put a file of theirs into a directory with the sticky bit: /tmp is root's."""
    # Who owns a link says what it leads to, now and when make comes; the kernel may not let us follow it.
    for facts_of in (file.lstat, file.stat):
        try:
            facts = facts_of()
        except OSError:
            return None
        if facts.st_uid not in users:
            return f"{file.name} there belongs to {ownership.name_of(facts.st_uid)}"
    if ownership.others_may_write(facts) and stat.S_ISREG(facts.st_mode):
        return f"others may write to {file.name} there"
    return None


def _words() -> list[str]:
    return [word for word in os.environ.get(VARIABLE, "").split(os.pathsep) if word]


def _covers(word: str, directory: Path) -> bool:
    return word == "*" or (word.startswith("/") and directory.is_relative_to(os.path.realpath(word)))
