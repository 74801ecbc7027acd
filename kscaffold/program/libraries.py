"""The shared libraries of a program, found as the dynamic loader would find them (ld.so(8))."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.elf.dynamic import Dynamic, read_dynamic
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.records import dataclass

# glibc opens it when a thread ends by pthread_exit or is cancelled; nothing names it before.
_OPENED_LATER = "libgcc_s.so.1"
MOST_PROGRAM = 64 << 20
"""Bytes of a program or library: the guest holds all in memory."""
_CONFIGURATION = Path("/etc/ld.so.conf")


@dataclass(frozen=True, slots=True)
class Library:
    """One file that a program needs, and its place in the guest."""

    file: Path
    place: Path


def libraries_of(program: Path, content: bytes, architecture: Architecture) -> list[Library]:
    """All that a program needs to be started: its interpreter, and the libraries it names, directly or
    through others. Raises KscaffoldError KS640 for one that is not found.
    """
    first = read_dynamic(content)
    if first is None or not first.interpreter:
        return []
    found: dict[str, Library] = {}
    interpreter = Path(first.interpreter)
    named = _library_path(architecture)
    file = interpreter if interpreter.exists() else _find(interpreter.name, (), first, architecture)
    if file is None:
        raise _missing(first.interpreter, program, architecture)
    found[interpreter.name] = Library(file, interpreter)
    waiting = [(program, first)]
    while waiting:
        user, its = waiting.pop()
        for name in its.needed:
            if name in found:
                continue
            file = _find(name, (*named, *_expanded(its.runpath, user)), first, architecture)
            if file is None:
                raise _missing(name, user, architecture)
            needs = read_dynamic(reader.read_bytes(file, MOST_PROGRAM))
            found[name] = Library(file, _place(file, architecture))
            if needs is not None:
                waiting.append((file, needs))
    later = _find(_OPENED_LATER, (), first, architecture)
    if later is not None and _OPENED_LATER not in found:
        found[_OPENED_LATER] = Library(later, _place(later, architecture))
    return list(found.values())


def search_path(libraries: list[Library], architecture: Architecture) -> tuple[str, ...]:
    """The directories that the guest's dynamic loader must be told of: it has no cache of ldconfig's."""
    usual = {str(d) for d in _usual(architecture)}
    places = dict.fromkeys(str(one.place.parent) for one in libraries[1:])
    return tuple(place for place in places if place not in usual)


def _find(name: str, first: tuple[Path, ...], like: Dynamic, architecture: Architecture) -> Path | None:
    """A library by its name, of the program's own class and machine. A name with a slash is a path."""
    directories = (Path("/"),) if "/" in name else (*first, *_directories(architecture))
    for directory in directories:
        file = directory / name
        if file.is_file():
            with file.open("rb") as opened:
                head = opened.read(64)
            its = head[:6] == bytes((*b"\x7fELF", like.bits // 32, 1 if like.order == "<" else 2))
            if its and int.from_bytes(head[18:20], "little" if like.order == "<" else "big") == like.machine:
                return file
    return None


def _library_path(architecture: Architecture) -> tuple[Path, ...]:
    """The directories of LD_LIBRARY_PATH, which says where libraries for this machine are."""
    words = os.environ.get("LD_LIBRARY_PATH", "") if architecture is table.host() else ""
    return tuple(Path(word).absolute() for word in re.split("[:;]", words) if word)


def _expanded(runpath: tuple[str, ...], user: Path) -> tuple[Path, ...]:
    origin = str(user.absolute().parent)
    return tuple(Path(one.replace("$ORIGIN", origin).replace("${ORIGIN}", origin)) for one in runpath)


def _usual(architecture: Architecture) -> tuple[Path, ...]:
    """Where a dynamic loader looks by itself."""
    triple = architecture.triple
    own = (Path("/lib", triple), Path("/usr/lib", triple))
    return (*own, *(Path(d) for d in ("/lib", "/usr/lib", "/lib64", "/usr/lib64")))


@cache
def _directories(architecture: Architecture) -> tuple[Path, ...]:
    """Where this machine keeps libraries: for programs of another one below /usr/TRIPLE."""
    cross = (Path("/usr", architecture.triple, "lib"),)
    own = tuple(_configured(_CONFIGURATION)) if architecture is table.host() else ()
    return (*_usual(architecture), *own, *cross)


def _configured(file: Path) -> Iterator[Path]:
    """The directories of ld.so.conf, with those of the files it includes."""
    try:
        lines = reader.read_text(file).splitlines()
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                inside = file.parent if not pattern.startswith("/") else Path("/")
                for more in sorted(inside.glob(pattern.lstrip("/"))):
                    yield from _configured(more)
        elif words:
            yield Path(words[0])


def _place(file: Path, architecture: Architecture) -> Path:
    """Where a library is in the guest: where it is here, but for those of another machine's."""
    if file.parent == Path("/usr", architecture.triple, "lib"):
        return Path("/lib", file.name)
    return file


def _missing(name: str, user: Path, architecture: Architecture) -> KscaffoldError:
    named = "name its directory in LD_LIBRARY_PATH, or " if architecture is table.host() else ""
    return KscaffoldError(
        "KS640",
        f"{user} needs {name}, which is not found",
        cause=f"it is in none of the directories of libraries for {architecture.name}",
        fix=f"{named}link the program with -static",
    )
