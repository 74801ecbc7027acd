"""The directory, the kernel and the module that a command line names, put into the commands of a fix."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kscaffold.files.paths import is_directory
from kscaffold.records import dataclass

# Commands that take a project's directory as a word.
_ON_PROJECTS = frozenset(
    ("adopt", "build", "check", "info", "list", "load", "logs", "reload", "run", "sign", "unload", "update")
)
# Commands that act on a project, as a fix names them, and the rest of what is said of each.
_NAMED = re.compile(
    r"kscaffold (build|check|clean|exec|info|kbuild (?:add-module|add-object|rename)|list|load|logs|"
    r"package (?:dkms|install)|reload|run|sandbox (?:shell|stop)|sign|test|unload)(?= |$|,|;|\))"
    r"((?:(?!kscaffold)[^;])*)"
)
_ON_REBUILD = re.compile(r"kscaffold (?:clean && kscaffold )?build(?! -C)\b")
_SHORT = {"-C": "--directory", "-k": "--kernel", "-m": "--module"}
# What a fix repeats of the options that were given, and the commands that take it.
_MODULES = ("load", "reload", "unload")
_BUILT = ("build", "check", "info", "run", "sign", *_MODULES)
_GUEST = ("list", "logs", *_MODULES)
# unload, list and logs ask the one sandbox that a project has, whatever its kernel.
_KERNEL = (
    "clean",
    "exec",
    "sandbox shell",
    "test",
    "load",
    "reload",
    "build",
    "check",
    "info",
    "run",
    "sign",
)
_TAKEN = {"--kernel": _KERNEL, "--arch": _KERNEL, "--module": _BUILT, "--host": _GUEST}
# Options with a value that reload takes as load does; those of what is shown are not asked for again.
_OF_A_LOAD = ("--cmdline", "--cert", "--firmware", "--device", "--timeout")
_FLAGS_OF_A_LOAD = ("--no-build", "--no-deps", "--offline", "--sanitize")
_OTHER_VALUES = (
    "--html",
    "--copy",
    "--env",
    "--junit",
    "--shard",
    "--allow",
    "--watch",
    "--repeat",
    "--lcov",
)
_WITH_VALUE = ("--directory", "--kernel", "--arch", "--module", *_OF_A_LOAD, *_OTHER_VALUES)


@dataclass(frozen=True, slots=True)
class Given:
    """A command line. `options`: long names with the value of each, "" where there is none."""

    verb: str
    options: tuple[tuple[str, str], ...]
    plain: tuple[str, ...]

    def value(self, option: str) -> str | None:
        """The value of an option, None where it was not given."""
        return next((value for name, value in self.options if name == option), None)


def given(words: Sequence[str]) -> Given:
    """The parts of a command line. The words behind exec's program are the program's own."""
    options: list[tuple[str, str]] = []
    plain: list[str] = []
    rest = list(words)
    while rest and not (plain[:1] == ["exec"] and len(plain) > 1):
        word = rest.pop(0)
        if not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        if word.startswith("-k") and plain[:1] == ["test"]:  # pytest's
            rest = rest[word == "-k" :]
            continue
        if not word.startswith("--") and word[:2] in _SHORT:
            name, value = _SHORT[word[:2]], word[2:]
            equals = value
        if name in _WITH_VALUE and not equals:
            value = rest.pop(0) if rest else ""
        options.append((name, value))
    return Given(plain[0] if plain else "", tuple(options), tuple(plain[1:]))


def named_place(words: Sequence[str]) -> str | None:
    """The directory that the words of a command line name: by -C, or as the one word of a verb."""
    return _place(given(words))


def _place(line: Given) -> str | None:
    there = line.value("--directory")
    if there is not None:
        return there or None
    names = [word for word in line.plain if "=" not in word]
    if line.verb in _ON_PROJECTS:
        return next((name for name in names if is_directory(Path(name))), None)
    return None


def _named_ko(line: Given, other: Path | None) -> Path | None:
    """The .ko that a line names: of several, the one that lies where `other` does."""
    there = Path(_place(line) or "")
    kos = [there / word for word in line.plain if word.endswith(".ko")]
    beside = [ko for ko in kos if other and os.path.realpath(ko.parent) == os.path.realpath(other.parent)]
    found = beside or (kos if len({ko.parent for ko in kos}) == 1 else [])
    return found[0] if found else None


def _place_of_sources(line: Given, ko: Path | None) -> str | None:
    """The directory in which to build again: the one that was named, unless the .ko is of another project."""
    from kscaffold.files.near import directory_of_make  # start-up time: only where something is to be mended

    place = _place(line)
    if ko is None or ko.parent == Path() or not is_directory(ko.parent):
        return place
    if place is not None and directory_of_make(Path(place)) == directory_of_make(ko.parent):
        return place
    return str(ko.parent)


def placed(fix: str, words: Sequence[str], ko: Path | None = None) -> str:
    """A fix whose commands act on what the command line named: in its directory, for its kernel and module;
    and where a load is to be made again, with all that it was given. `ko`: the file that is to be mended,
    where that is known.
    """
    line = given(words)
    ko = _named_ko(line, ko)
    # On the host a fix may well advise the sandbox.
    to_the_host = "sandbox" not in fix and "host" not in fix

    def completed(found: re.Match[str]) -> str:
        verb, rest = found[1], found[2]
        return f"kscaffold {verb}{''.join(f' {w}' for w in _added(line, ko, found, to_the_host))}{rest}"

    if _ON_REBUILD.match(fix) and _is_stray(line, ko):
        return f"in the directory of its sources: {fix}"
    return _NAMED.sub(completed, fix)


def _is_stray(line: Given, ko: Path | None) -> bool:
    """Whether the .ko, or each that is named, lies in no project: nothing can be built where it is."""
    from kscaffold.files.near import directory_of_make  # start-up time: only where something is to be mended

    there = Path(_place(line) or "")
    kos = [ko] if ko else [there / word for word in line.plain if word.endswith(".ko")]
    return bool(kos) and not any(directory_of_make(ko.parent) for ko in kos)


def _added(line: Given, ko: Path | None, found: re.Match[str], to_the_host: bool) -> list[str]:
    """The words, quoted, that belong between a fix's `kscaffold VERB` and the rest that is said of it."""
    verb, rest = found[1], found[2]
    there = {_SHORT.get(word, word) for word in re.findall(r"(?<!\S)--?[\w-]+", rest)}
    if "--help" in there or line.verb == "new":  # which says where the new one is
        return []
    if "--host" in there:
        there |= {"--kernel", "--arch"}
    place = _place_of_sources(line, ko) if verb in ("build", "clean") else _place(line)
    added = [] if place is None or "--directory" in there else ["-C", place]
    for option, verbs in _TAKEN.items():
        value = line.value(option)
        also = option == "--arch" and "--kernel" in there  # a kernel that is named has its own
        if value is None or option in there or also or verb not in verbs:
            continue
        if option == "--host":
            added += ["--host"] if to_the_host else []
        else:
            added += [option, value]
    kos = [word for word in line.plain if word.endswith(".ko")]
    if verb == "info" and place is None and len(kos) == 1:
        added += kos
    if verb == "reload" and line.verb in ("load", "reload"):
        added += _of_the_load(line, place, has_parameters=bool(re.match(r" '?\w[\w.-]*=", rest)))
    return [shlex.quote(word) for word in added]


def _of_the_load(line: Given, place: str | None, *, has_parameters: bool) -> list[str]:
    """The other options of a load."""
    words: list[str] = []
    for name, value in line.options:
        if name in _OF_A_LOAD:
            words += [name, value]
        elif name in _FLAGS_OF_A_LOAD:
            words.append(name)
    words += [word for word in line.plain if "=" not in word and word != place]
    return words + ([] if has_parameters else [word for word in line.plain if "=" in word])


def placed_document(value: Any, words: Sequence[str], ko: Path | None = None) -> Any:
    """A part of a JSON document, each `fix` in it for what the command line named. `ko`: the `path` of the
    module that the part is of."""
    if isinstance(value, dict):
        path = value.get("path")
        ko = Path(path) if isinstance(path, str) and path.endswith(".ko") else ko
        return {
            key: placed(part, words, ko)
            if key == "fix" and isinstance(part, str)
            else placed_document(part, words, ko)
            for key, part in value.items()
        }
    return [placed_document(part, words, ko) for part in value] if isinstance(value, list | tuple) else value
