"""Looks once more at what a template made, before anybody sees it."""

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from kscaffold.errors import UsageError

_MOST_FILES = 50_000
_MOST_BYTES = 1 << 30


def validate_output(project: Path, inside: Path, *, hooks: bool) -> tuple[str, ...]:
    """Check a rendered project, give its files the user's own modes (executable ones stay so), list them.

    `inside`: the directory it must be in. `hooks`: they may have begun a repository, and made links.
    Raises UsageError for what a project can't hold.
    """
    if project.is_symlink() or not project.is_dir() or not project.resolve().is_relative_to(inside.resolve()):
        raise _refused(".", "it is no directory of its own")
    mask = os.umask(0)
    os.umask(mask)
    files: list[str] = []
    size = 0
    for path, facts in _walk(project):
        name = str(path.relative_to(project))
        if ".git" in (part.lower() for part in Path(name).parts) and not (hooks and name.startswith(".git")):
            raise _refused(name, "git would take it for its own")
        if name.startswith(".kscaffold"):  # at the top
            raise UsageError(
                "KS075",
                f"the template made a file that kscaffold keeps for itself: {name!a}",
                cause="a project's answers and what it was made from stand there, for kscaffold update",
                fix="take it out of the template: it is of the project that the template was made of",
            )
        if stat.S_ISLNK(facts.st_mode):
            _check_link(path, project, hooks)
        elif stat.S_ISDIR(facts.st_mode):
            path.chmod(0o777 & ~mask)
            continue
        elif not stat.S_ISREG(facts.st_mode):
            raise _refused(name, "it is a device, a pipe or a socket")
        else:
            path.chmod((0o777 if facts.st_mode & stat.S_IXUSR else 0o666) & ~mask)
        size += facts.st_size
        if len(files) >= _MOST_FILES or size > _MOST_BYTES:
            raise _refused(".", f"it is more than {_MOST_FILES} files or {_MOST_BYTES >> 30} GiB")
        if not name.startswith(".git/"):
            files.append(name)
    project.chmod(0o777 & ~mask)
    return tuple(sorted(files))


def same_name(files: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Files that differ in case only: one of them is lost where the file system doesn't tell them apart."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in files:
        groups[name.casefold()].append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _walk(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    directory.chmod(0o700)  # a hook may have taken our own right to look
    for entry in sorted(os.scandir(directory), key=lambda e: e.name):
        path = directory / entry.name
        facts = path.lstat()
        if stat.S_ISDIR(facts.st_mode):
            yield from _walk(path)
        yield path, facts


def _check_link(link: Path, project: Path, hooks: bool) -> None:
    end = link.readlink()
    inside = not end.is_absolute() and link.resolve().is_relative_to(project.resolve())
    if not hooks or not inside:
        raise _refused(str(link.relative_to(project)), f"it is a link to {str(end)!a}")


def _refused(name: str, why: str) -> UsageError:
    return UsageError(
        "KS075",
        f"the template made what a project can't hold: {name!a}",
        cause=why,
        fix="don't use it, or mend it in a copy of your own",
    )
