"""Which lines and functions of a module ran: its counters, read from the guest, as gcov tells them."""

import json
import os
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.files.scratch import scratch_directory
from kscaffold.instrument.copies import InstrumentedPlan
from kscaffold.kernel.buildtree import TOOLCHAIN, read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.records import dataclass

LIST = "/proc/ks_coverage"
"""The file of the guest that has the counters."""
_TIMEOUT = 60.0  # s
_HEADER, _FUNCTION, _COUNTER = 0x67636461, 0x01000000, 0x01A10000


@dataclass(frozen=True, slots=True)
class FunctionCount:
    """A function, the line that it begins in, and how often it was called."""

    name: str
    line: int
    count: int


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """A source file. `file`: relative to the project's directory. `lines`: how often each line ran that has
    code. `text`: the file's lines, none where it can't be read.
    """

    file: str
    path: Path
    lines: Mapping[int, int]
    functions: tuple[FunctionCount, ...]
    text: tuple[str, ...] = ()

    @property
    def ran(self) -> int:
        """The number of lines that ran."""
        return sum(count > 0 for count in self.lines.values())

    @property
    def called(self) -> int:
        """The number of functions that were called."""
        return sum(f.count > 0 for f in self.functions)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The lines that did not run, as first and last ones: with nothing that ran between them."""
        found: list[list[int]] = []
        last_ran = True
        for line, count in sorted(self.lines.items()):
            if count == 0 and not last_ran:
                found[-1][1] = line
            elif count == 0:
                found.append([line, line])
            last_ran = count > 0
        return [(first, last) for first, last in found]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The lines that ran, of all tries together. `unseen`: why a module could not be counted, by its name."""

    files: tuple[FileCoverage, ...]
    unseen: Mapping[str, str]

    @property
    def share(self) -> float:
        """The share of lines that ran, from 0 to 1."""
        total = sum(len(f.lines) for f in self.files)
        return sum(f.ran for f in self.files) / total if total else 0.0


Counters = dict[str, bytes]
"""The contents of .gcda files, by the names that the compiler gave them."""


def read_counters(data: bytes) -> Counters:
    """The counters in what /proc/ks_coverage gave; those of a module that was loaded twice are summed."""
    found: Counters = {}
    at = 0
    while (end := data.find(b"\0", at)) > 0 and end + 5 <= len(data):
        (size,) = struct.unpack_from("<I", data, end + 1)
        content = data[end + 5 : end + 5 + size]
        add_counters(found, {data[at:end].decode(errors="surrogateescape"): content})
        at = end + 5 + size
    return found


def add_counters(to: Counters, more: Counters) -> None:
    """Sum the counters of the same objects; those of an object that was compiled again take the place of
    the old ones.
    """
    for name, content in more.items():
        to[name] = _sum(to[name], content) if name in to else content


def _sum(first: bytes, second: bytes) -> bytes:
    """Two .gcda files of one object as one."""
    order = "<" if first[:4] == struct.pack("<I", _HEADER) else ">"
    places = _places(first, order)
    if len(first) != len(second) or places != _places(second, order):
        return second
    result = bytearray(first)
    for at, count in places:
        for n in range(count):
            low = at + 8 * n
            a, b = (struct.unpack_from(order + "II", data, low) for data in (first, second))
            total = (a[0] | a[1] << 32) + (b[0] | b[1] << 32)
            struct.pack_into(order + "II", result, low, total & 0xFFFFFFFF, total >> 32 & 0xFFFFFFFF)
    return bytes(result)


def _places(data: bytes, order: str) -> list[tuple[int, int]]:
    """Where the counters of a .gcda file are, and how many follow one another."""
    words = struct.Struct(order + "II")
    at = next((n for n in (12, 16) if data[n : n + 4] == struct.pack(order + "I", _FUNCTION)), len(data))
    unit = 0
    found = []
    while at + 8 <= len(data):
        tag, length = words.unpack_from(data, at)
        # From GCC 12 on lengths are in bytes, before that in words: a function has three.
        unit = unit or (4 if length == 3 else 1)
        if tag & 0xFFE1FFFF == _COUNTER & 0xFFE1FFFF and tag != _FUNCTION:
            # The module may have written into it.
            found.append((at + 8, min(length * unit, len(data) - at - 8) // 8))
        at += 8 + length * unit
    return found


def coverage_of_copies(counters: Counters, copies: InstrumentedPlan, kernel: Kernel) -> Coverage:
    """The lines and functions of the user's own sources that these counters tell of. Raises KscaffoldError
    KS733 where gcov can't tell.
    """
    homes = dict(one.homes(ko) for ko, one in copies.compiled.items())
    own = {ko.name for ko in copies.compiled}
    unseen = {o.name: "there is no source beside it" for o in copies.originals.values() if o.name not in own}
    return coverage_of(counters, homes, gcov_of(kernel), unseen)


def gcov_of(kernel: Kernel) -> str:
    """The gcov of the compiler's version that a kernel's modules are built with."""
    if kernel.build is None:
        return "gcov"
    tree = read_tree(kernel.build, kernel.arch)
    named = [v.removeprefix("CC=") for v in toolchain(tree).variables if v.startswith("CC=")]
    compiler = named[-1] if named else tree.compiler or f"{tree.cross}gcc"
    directory, slash, name = compiler.rpartition("/")
    return f"{directory}{slash}{name.replace('gcc', 'gcov')}"


def coverage_of(
    counters: Counters,
    homes: Mapping[Path, Path],
    gcov: str,
    unseen: Mapping[str, str],
    top: Path | None = None,
) -> Coverage:
    """The lines and functions that these counters tell of. `homes`: the project's directory of each directory
    in which its copies were compiled. `gcov`: the program of the compiler's version. `top`: what files are
    named from, else those directories.

    Raises KscaffoldError KS733 where gcov can't tell.
    """
    if counters and process.which(gcov) is None:
        brought = f"/{TOOLCHAIN}/" in gcov  # by a kscaffold that did not know of it
        again = "fetch the kernel again: kscaffold kernel remove and kernel add"
        fix = again if brought else "it comes with the compiler: apt-get install gcc"
        raise KscaffoldError("KS733", f"{gcov} is not found", fix=fix)
    lines: dict[Path, dict[int, int]] = {}
    functions: dict[Path, dict[str, FunctionCount]] = {}
    for name, content in sorted(counters.items()):
        for entry in _gcov(Path(name), content, gcov):
            file = _original(Path(name).parent / entry["file"], homes)
            if file is None:
                continue  # a header of the kernel's
            counts = lines.setdefault(file, {})
            for line in entry["lines"]:
                counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
            known = functions.setdefault(file, {})
            for one in entry["functions"]:
                before = known[one["name"]].count if one["name"] in known else 0
                known[one["name"]] = FunctionCount(
                    one["name"], one["start_line"], one["execution_count"] + before
                )
    tops = [*([Path(os.path.realpath(top))] if top else []), *homes.values()]
    files = [_file(file, lines[file], functions[file].values(), tops) for file in sorted(lines)]
    return Coverage(tuple(f for f in files if f.lines), dict(unseen))


def joined(found: Sequence[Coverage]) -> Coverage:
    """The coverage of several kernels as one."""
    files: dict[Path, FileCoverage] = {}
    for file in (f for one in found for f in one.files):
        files[file.path] = _both(files[file.path], file) if file.path in files else file
    unseen = {name: what for one in found for name, what in one.unseen.items()}
    return Coverage(tuple(files[path] for path in sorted(files)), unseen)


def _both(one: FileCoverage, other: FileCoverage) -> FileCoverage:
    lines = {n: one.lines.get(n, 0) + other.lines.get(n, 0) for n in sorted({*one.lines, *other.lines})}
    named: dict[str, FunctionCount] = {}
    for f in (*one.functions, *other.functions):
        before = named[f.name].count if f.name in named else 0
        named[f.name] = FunctionCount(f.name, f.line, f.count + before)
    functions = tuple(sorted(named.values(), key=lambda f: (f.line, f.name)))
    return FileCoverage(one.file, one.path, lines, functions, one.text)


def _gcov(data: Path, content: bytes, gcov: str) -> list[dict[str, Any]]:
    """What gcov says of one object, file by file."""
    notes = data.with_suffix(".gcno")
    with scratch_directory() as work:
        (work / data.name).write_bytes(content)
        try:
            shutil.copy(notes, work)
        except OSError as error:
            raise _cant_tell(f"{notes} can't be read: {error.strerror}") from None
        done = process.run([gcov, "--json-format", "--stdout", data.name], cwd=work, timeout=_TIMEOUT)
    try:
        return list(json.loads(done.stdout.splitlines()[0])["files"])
    except (ValueError, IndexError, KeyError):
        raise _cant_tell((done.stderr or done.stdout).strip().partition("\n")[0]) from None


def _cant_tell(why: str) -> KscaffoldError:
    return KscaffoldError(
        "KS733", "gcov can't tell which lines ran", cause=why, fix="kscaffold cache prune, and again"
    )


def _original(file: Path, homes: Mapping[Path, Path]) -> Path | None:
    """The user's own file of one that was compiled; None for one of somebody else's."""
    for copied, home in homes.items():
        # A build apart from the checkout has links to its sources.
        if file.is_relative_to(copied):
            return Path(os.path.realpath(home / file.relative_to(copied)))
        if file.is_relative_to(home):
            return Path(os.path.realpath(file))
    return None


def _file(
    file: Path, lines: Mapping[int, int], functions: Iterable[FunctionCount], tops: Sequence[Path]
) -> FileCoverage:
    home = next((top for top in tops if file.is_relative_to(top)), file.parent)
    try:
        text: Sequence[str] = reader.read_text(file).splitlines()
    except OSError:
        text = ()
    ordered = tuple(sorted(functions, key=lambda f: (f.line, f.name)))
    return FileCoverage(str(file.relative_to(home)), file, dict(sorted(lines.items())), ordered, tuple(text))


def lcov(found: Coverage) -> str:
    """The coverage as LCOV's text, for genhtml, editors and services."""
    parts = []
    for file in found.files:
        parts += ["TN:", f"SF:{file.path}"]
        parts += [f"FN:{f.line},{f.name}" for f in file.functions]
        parts += [f"FNDA:{f.count},{f.name}" for f in file.functions]
        parts += [f"FNF:{len(file.functions)}", f"FNH:{file.called}"]
        parts += [f"DA:{line},{count}" for line, count in file.lines.items()]
        parts += [f"LF:{len(file.lines)}", f"LH:{file.ran}", "end_of_record"]
    return "".join(f"{part}\n" for part in parts)
