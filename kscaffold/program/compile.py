"""A program of one source file, compiled for a guest: static, so nothing has to come along."""

import re
import time
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.files.identity import FileIdentity, identify_if_there
from kscaffold.files.scratch import scratch_directory
from kscaffold.program.libraries import MOST_PROGRAM
from kscaffold.records import dataclass
from kscaffold.sandbox.agent.guest_root import compiler

_TIMEOUT = 120.0  # s
_FLAGS = ("-O2", "-g", "-Wall", "-pthread", "-static")
# What a compiler says without its C library. One for another machine reads the headers of this one then, as
# far as they are for all.
_NO_HEADER = r"(?:(?:stdio|stdlib|errno|unistd)|(?:bits|gnu|asm|sys)/[\w-]+)\.h: No such"
_NO_LIBRARY = rf"cannot find -lc|crt1\.o|{_NO_HEADER}"
# ns by which a file's time may lie behind the moment of its last write: a tick of a slow kernel's clock.
_TICK = 10_000_000
_MOST = 8  # programs that are kept: each has a megabyte


@dataclass(frozen=True, slots=True)
class _Made:
    """A program, and every file that the compiler read for it, as they were then."""

    content: bytes
    of: dict[Path, FileIdentity | None]

    def is_fresh(self) -> bool:
        """Whether the compiler would read the same again."""
        return all(its and identify_if_there(file) == its for file, its in self.of.items())


# By compiler and source, the last one that was asked for last: each test has a guest of its own, and the
# programs of the test before it.
_made: dict[tuple[str, Path], _Made] = {}


def compile_program(file: Path, architecture: Architecture) -> bytes:
    """The program of a `.c` file: the one that this process compiled before, where neither the file nor a
    header that it includes has changed. Raises KscaffoldError KS643 with what the compiler said, and
    ForeignFileError for a file that a compiler would not see the end of.
    """
    key = compiler(architecture), file.absolute()
    made = _made.pop(key, None)
    if made is None or not made.is_fresh():
        made = _compile(file.absolute(), architecture)
    _made[key] = made
    while len(_made) > _MOST:
        del _made[next(iter(_made))]
    return made.content


def _compile(file: Path, architecture: Architecture) -> _Made:
    began = time.time_ns() - _TICK
    for read in (file, *file.parent.glob("*.h")):  # a compiler waits for a FIFO, and reads a device for ever
        reader.require_plain(read, reader.MOST_TEXT)
    with scratch_directory() as place:
        program, rule = place / "program", place / "rule"
        argv = [compiler(architecture), *_FLAGS, "-MD", "-MF", str(rule), "-o", str(program), str(file)]
        done = process.run(argv, timeout=_TIMEOUT, cwd=file.parent)
        if done.returncode:
            said = done.stderr.strip()[-2000:]
            fix = _mend(said, architecture, file)
            raise KscaffoldError("KS643", f"{file} can't be compiled", cause=said, fix=fix)
        of = {}
        for name in _dependencies(reader.read_text(rule)):
            its = identify_if_there(file.parent / name)
            # One that was written to meanwhile may have been read before that.
            of[file.parent / name] = its if its and its.ctime_ns < began else None
        return _Made(reader.read_bytes(program, MOST_PROGRAM), of)


def _dependencies(rule: str) -> list[str]:
    """The files that a compiler read, by the rule for make that it wrote: `TARGET: FILE FILE \\`."""
    words = re.findall(r"(?:\\[ #\\]|\S)+", rule.partition(": ")[2].replace("\\\n", " "))
    return [re.sub(r"\\([ #])", r"\1", word).replace("$$", "$") for word in words]


def _mend(said: str, architecture: Architecture, file: Path) -> str:
    """The command to try where a program does not compile: it installs the C library for that machine, or
    compiles once more to show the errors.
    """
    if not re.search(_NO_LIBRARY, said):
        return process.display([compiler(architecture), *_FLAGS, "-o", "/dev/null", str(file)])
    package = "libc6-dev" if architecture is table.host() else f"libc6-dev-{architecture.debian}-cross"
    return f"sudo apt-get install --no-install-recommends {package}"
