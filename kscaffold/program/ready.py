"""The program that a user names, with every file that a guest needs to run it."""

import os
from collections.abc import Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.arch.architecture import Architecture
from kscaffold.elf.dynamic import read_dynamic
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.program.compile import compile_program
from kscaffold.program.libraries import MOST_PROGRAM, libraries_of, search_path
from kscaffold.records import dataclass, field, replace

_DEEPEST = 4  # interpreters of interpreters: the kernel's own limit (BINPRM_MAX_RECURSION)
_BUSYBOX = "/busybox"  # where SandboxTarget.install_busybox() puts it
_ITS_SHELLS = ("/bin/sh", "/usr/bin/sh")
# What BusyBox is in a guest.
SHELLS = frozenset({"sh", "ash"})
# Programs that start others by name: shells, and those with such a function of libc's. In a static one
# the name may be the end of another, as of __libc_system.
_OTHER_SHELLS = frozenset({"bash", "dash", "fish", "ksh", "mksh", "zsh"})
_STARTS_OTHERS = tuple(
    before + name + b"\0"
    for before in (b"\0", b"_")
    for name in (b"system", b"popen", b"execlp", b"execlpe", b"execvp", b"execvpe", b"posix_spawnp")
)
# Their programs are of no use without a tree of files beside them.
_WITH_A_LIBRARY = ("python", "perl", "ruby", "node", "php", "lua", "java", "R")


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file for a guest. `mode`: of a copy that the program may write to; 0 for what is only read or run."""

    content: bytes
    place: str
    mode: int = 0


@dataclass(frozen=True, slots=True)
class ReadyProgram:
    """What is to be run and what it needs. `path`: its file in the guest. `busybox`: it wants the commands of
    a shell; `commands`: it may start some. `library_path`: directories for the dynamic loader to search.
    """

    path: str
    files: tuple[GuestFile, ...] = ()
    busybox: bool = False
    library_path: tuple[str, ...] = field(default=())
    commands: bool = False


def ready(word: str, directory: Path, architecture: Architecture) -> ReadyProgram:
    """Make a program ready that was named as a shell would take it: a path, or a name to look for. A `.c`
    file is compiled. A path that is not here is one of the guest; a name that is not here is one of BusyBox.

    Raises UsageError KS641 for what can't be run, KscaffoldError KS640 for a library that is not found, KS642
    for a program of another machine, KS643 for a source that can't be compiled, and KS645 for an interpreter
    that needs more files than libraries.
    """
    if word in SHELLS or word in _ITS_SHELLS:
        return ReadyProgram(_BUSYBOX, busybox=True)  # with the commands that its script calls
    if "/" not in word and not word.endswith(".c"):
        found = process.which(word)
        if found is None or not _is_of(Path(found), architecture):
            return ReadyProgram(_BUSYBOX, busybox=True)  # which of its commands, argv[0] says
        _refuse_with_a_library(word, word)
        return _brought(Path(found), architecture, 0)
    file = directory / word
    if file.is_dir():
        raise UsageError("KS641", f"{word} is a directory")
    if not file.exists():
        if word.startswith("/"):
            return ReadyProgram(word, busybox=True)
        raise UsageError("KS641", f"{word} is not there", fix="ls")
    if file.suffix == ".c":
        return _compiled(file, architecture)
    return _brought(file, architecture, 0)


def is_of_busybox(program: ReadyProgram) -> bool:
    """Whether it is one of BusyBox's commands, by its first word."""
    return program.path == _BUSYBOX


def copied(words: Sequence[str], directory: Path) -> list[GuestFile]:
    """The files of `--copy FILE[:DEST]`, each a copy of its own; without DEST where it is here. Raises
    UsageError KS644 for what is no file.
    """
    files = []
    for word in words:
        name, colon, dest = word.rpartition(":")
        if not colon or (directory / word).exists():
            name, dest = word, ""
        file = directory / name
        if not file.is_file():
            raise UsageError("KS644", f"{name} is no file that could be copied", fix="ls -l")
        place = os.path.normpath(directory / (dest or name))
        if dest.endswith("/"):
            place = f"{place.rstrip('/')}/{file.name}"
        files.append(GuestFile(reader.read_bytes(file, MOST_PROGRAM), place, file.stat().st_mode & 0o777))
    return files


def _brought(file: Path, architecture: Architecture, depth: int) -> ReadyProgram:
    """A program of this machine's, at the same place in the guest."""
    place = os.path.normpath(file.absolute())
    content = reader.read_bytes(file, MOST_PROGRAM)
    if content[:2] == b"#!":
        return _script(file, place, content, architecture, depth)
    if read_dynamic(content) is None:
        fix = "a script begins with #! and its interpreter"
        raise UsageError("KS641", f"{file} is no program", cause="it is neither ELF nor a script", fix=fix)
    if not _is_of(file, architecture):
        raise KscaffoldError(
            "KS642",
            f"{file} is no program for {architecture.title}",
            cause="the sandbox's kernel is of another machine",
            fix=f"compile it with {architecture.triple}-gcc -static",
        )
    libraries = libraries_of(file, content, architecture)
    own = GuestFile(content, place)
    needed = tuple(GuestFile(reader.read_bytes(one.file, MOST_PROGRAM), str(one.place)) for one in libraries)
    starts = file.name in _OTHER_SHELLS or _starts_others(content)
    path = search_path(libraries, architecture)
    return ReadyProgram(place, (*needed, own), library_path=path, commands=starts)


def _script(file: Path, place: str, content: bytes, architecture: Architecture, depth: int) -> ReadyProgram:
    """A script with its interpreter; a shell's is BusyBox, which has the commands that it calls, too."""
    words = content.partition(b"\n")[0][2:].decode(errors="replace").split()
    if not words or depth >= _DEEPEST:
        raise UsageError("KS641", f"{file} names no interpreter that could run it")
    own = GuestFile(content, place)
    wanted, through_env = words[0], Path(words[0]).name == "env" and len(words) > 1
    if through_env:
        wanted = words[1]
    name = Path(wanted).name
    if name in SHELLS:
        return ReadyProgram(place, (own,), busybox=True)
    _refuse_with_a_library(name, str(file))
    found = process.which(wanted)
    if found is None:
        raise UsageError("KS641", f"{file} wants {wanted}, which is not installed here")
    brought = _brought(Path(found), architecture, depth + 1)
    interpreter = Path(found).name
    at_its_name = f"/usr/bin/{interpreter}" if through_env else words[0]
    last = replace(brought.files[-1], place=at_its_name)
    return ReadyProgram(place, (*brought.files[:-1], last, own), True, brought.library_path)


def _refuse_with_a_library(interpreter: str, what: str) -> None:
    if interpreter.rstrip("0123456789.") in _WITH_A_LIBRARY:
        raise KscaffoldError(
            "KS645",
            f"{what} can't run in a sandbox",
            cause=f"{interpreter} needs its own library of files, which does not come along",
            fix="write it in C, or for sh",
        )


def _compiled(file: Path, architecture: Architecture) -> ReadyProgram:
    content = compile_program(file, architecture)
    target = os.path.normpath(file.absolute().with_suffix(""))
    return ReadyProgram(target, (GuestFile(content, target),), commands=_starts_others(content))


def _starts_others(content: bytes) -> bool:
    """Whether a program has libc's functions that start others by their names."""
    return any(name in content for name in _STARTS_OTHERS)


def _is_of(file: Path, architecture: Architecture) -> bool:
    """Whether a program is of that machine; a script is of each."""
    with file.open("rb") as opened:
        content = opened.read(64)
    if content[:2] == b"#!":
        return True
    order = {1: "<", 2: ">"}.get(content[5] if len(content) > 5 else 0, "<")
    machine = int.from_bytes(content[18:20], "little" if order == "<" else "big")
    mine = (architecture.bits // 32, architecture.order, architecture.elf_machine)
    return content[:4] == b"\x7fELF" and (content[4], order, machine) == mine
