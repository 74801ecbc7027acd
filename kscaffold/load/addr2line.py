"""Find the line of the user's own source that a complaint of the kernel points at, by addr2line."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kscaffold import lazy, process
from kscaffold.arch import table
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.records import dataclass, replace

_AROUND = 2  # lines before and after
_LONGEST_HEAD = 12  # lines from a function's name to its `{`
_LARGEST = 4 << 20  # bytes of a source file that is shown
_WHERE = lazy.pattern(r"(?P<function>[\w.$]+)(?:\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)| \[)")
_FRAME = lazy.pattern(r"(?m)^\[<\w+>\] ((\S+)\+0x\w+/0x\w+)(?: \[(\w+)\])?$")
_LINE = lazy.pattern(r"^(?P<file>/.+?|[^/?].*?):(?P<line>[1-9]\d*)(?: \(discriminator \d+\))?$")


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of source. `file`: relative to the module's home where the file is below that. `lines`:
    number and text of the line and of its neighbours; none where the file can't be read.
    """

    file: str
    line: int
    function: str
    lines: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def locate_complaints(
    complaints: Sequence[Complaint], module: str, ko: ModuleFile, records: Sequence[Record]
) -> tuple[tuple[Complaint, ...], SourceLine | None]:
    """The complaints with `file.c:line` for `where`, and the first such place.

    Where addr2line or the module's debug information is missing, `where` stays the kernel's own.
    """
    placed: list[Complaint] = []
    first: SourceLine | None = None
    for complaint in complaints:
        place = None
        if complaint.callee and complaint.module in (None, module):
            place = _last_call(complaint.callee, ko)
        if place is None and complaint.where and complaint.module == module:
            place = place_of(complaint.where, ko, records)
        placed.append(replace(complaint, where=str(place)) if place else complaint)
        first = first or place
    return tuple(placed), first


def _last_call(callee: str, ko: ModuleFile) -> SourceLine | None:
    """The line with the only call of this function in the module's source: it left no frame, as the last call
    of a function does. None where there are several.
    """
    from kscaffold.diagnosis.residue.source import (
        lines_of_call,  # start-up time: most loads have no complaint
    )
    from kscaffold.load.source_files import sources_of

    found = lines_of_call(callee, sources_of([ko]))
    return read_line(Path(found[0][0]), found[0][1], callee, ko.home) if len(found) == 1 else None


def with_source_line(
    cause: str | None, before: Sequence[Complaint], after: Sequence[Complaint]
) -> str | None:
    """The cause, with the line of source of the complaint that it quotes."""
    for old, new in zip(before, after, strict=True):
        if cause and old is not new and old.summary in cause:
            more = "" if new.where and new.where in new.summary else f", at {new.where}"
            return cause.replace(old.summary, new.summary + more)
    return cause


def place_of(
    where: str, ko: ModuleFile, records: Sequence[Record], *, interrupted: bool = False
) -> SourceLine | None:
    """The line of source of `function+0xoffset/0xsize`, or of `function [module]`; None where it can't be
    found. `interrupted`: an interrupt came there.
    """
    found = _WHERE.match(where)
    if found is None:
        return None
    if found["offset"] is None:
        return place_of_function(found["function"], ko)
    offset = int(found["offset"], 16)
    # A caller: the address it will come back to, behind the call.
    behind = 0 if interrupted or _exact(found[0], records) else 1
    return _line_of(ko, found["function"], int(found["size"], 16), offset, behind)


def place_of_stack(stack: str, files: Mapping[str, ModuleFile]) -> SourceLine | None:
    """The line where a task is in one of these modules: /proc/PID/stack has the innermost call first. What an
    interrupt came upon was there itself, and is no caller.
    """
    interrupted = False
    for where, function, module in _FRAME.findall(stack):
        if module in files:
            return place_of(where, files[module], (), interrupted=interrupted)
        interrupted = re.fullmatch(table.interrupt_entry(), function) is not None
    return None


def with_stack(
    cause: str | None, place: SourceLine | None, stack: str, ko: ModuleFile
) -> tuple[str | None, SourceLine | None]:
    """The cause and the line of a call that did not come back; where no line was known, that of its stack,
    and of an exit that left no frame, since it waits in its last call, that of its own name.
    """
    if place is None and (place := place_of_stack(stack, {ko.module: ko}) or _place_of_exit(stack, ko)):
        return f"{cause}, at {place}", place
    return cause, place


_DELETES = lazy.pattern(r"(?m)^\[<\w+>\] (?:__\w+_)?sys_delete_module\+0x")


def _place_of_exit(stack: str, ko: ModuleFile) -> SourceLine | None:
    if not _DELETES.search(stack):
        return None
    with contextlib.suppress(KscaffoldError):
        function = ko.kofile().exit
        return place_of_function(function.symbol, ko) if function else None
    return None


def place_of_function(name: str, ko: ModuleFile) -> SourceLine | None:
    """The line of source that has a function's name and its `(`; None where it can't be found."""
    machine = table.of_elf(ko.read_bytes()[:64])
    entry = machine.patchable_entry if machine else 0
    found = _line_of(ko, name, 0, entry, 0, around=_LONGEST_HEAD)
    if found is None:
        return None
    # Its first code is that of the `{`.
    heads = [
        n for n, text in found.lines if n <= found.line and re.search(rf"\b{re.escape(name)}\s*\(", text)
    ]
    line = max(heads, default=found.line)
    near = tuple(one for one in found.lines if abs(one[0] - line) <= _AROUND)
    return SourceLine(found.file, line, name, near)


def _line_of(
    ko: ModuleFile, function: str, size: int, offset: int, behind: int, *, around: int = _AROUND
) -> SourceLine | None:
    """The line of the code `behind` bytes before an offset in a function of so many bytes, 0: any; with the
    lines around it.
    """
    try:
        # This machine's own prints `?` for the code of another one, and exits with 0.
        machine = table.of_elf(ko.read_bytes()[:64])
        program = process.which(f"{table.cross_prefix(machine)}addr2line")
        if program is None:
            return None
        placed = ko.place(function, size)
        if placed is None:
            return None
        section, start = placed
        at = max(0, start + offset - behind)
        done = process.run([program, "-i", "-e", str(ko.path), "-j", section, hex(at)], timeout=10)
    except KscaffoldError:
        return None
    frames = [m for line in done.stdout.splitlines() if (m := _LINE.match(line.strip()))]
    if done.returncode or not frames:
        return None
    # Inlined code comes first: of the frames the innermost that is not in a header of the kernel's.
    own = Path(frames[-1]["file"]).parent
    chosen = next(m for m in frames if Path(m["file"]).is_relative_to(own))
    return read_line(Path(chosen["file"]), int(chosen["line"]), function, ko.home, around)


def _exact(place: str, records: Sequence[Record]) -> bool:
    """Whether the processor itself stood there: the line that names the program counter says so."""
    named = [r.text for r in records if place in r.text]
    if any(re.match(r"(?:Oops: )?int3: ", r.text) for r in records):
        return False  # it stands behind the trap
    return any(re.match(table.oops_pc(), text) for text in named)


def read_line(file: Path, line: int, function: str, home: Path, around: int = _AROUND) -> SourceLine:
    """A line of a file with those around it, as far as the file can be read."""
    path = home / file
    shown = str(path.relative_to(home)) if path.is_relative_to(home) else str(file)
    try:
        if path.stat().st_size > _LARGEST:
            return SourceLine(shown, line, function)
        text = reader.read_text(path).splitlines()
    except OSError:
        return SourceLine(shown, line, function)
    near = range(max(1, line - around), min(len(text), line + around) + 1)
    return SourceLine(shown, line, function, tuple((n, text[n - 1]) for n in near))
