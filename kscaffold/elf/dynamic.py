"""What the dynamic loader reads in a program: its interpreter, the libraries it needs, where it looks for
them.
"""

import struct
from collections.abc import Iterator

from kscaffold.records import dataclass

_CLASSES = {1: 32, 2: 64}
_ORDERS = {1: "<", 2: ">"}
_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29
# Far above what linkers write: who made the file may have meant to keep its reader busy.
_MOST_BYTES = 1 << 18  # of the dynamic segment
_MOST_NAMES = 1000
_LONGEST = 1 << 14  # bytes of a name


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A program or library, as elf(5) names its parts. `machine`: e_machine. `interpreter`: "" for a library
    and for a static program. `runpath`: the directories of DT_RUNPATH, else of DT_RPATH, as they are written.
    """

    bits: int
    order: str
    machine: int
    interpreter: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]


def read_dynamic(content: bytes) -> Dynamic | None:
    """The dynamic part of an ELF file's content; None for what is no ELF file, or a damaged one."""
    try:
        return _read(content)
    except (struct.error, IndexError, ValueError, KeyError, OverflowError):
        return None


def _read(content: bytes) -> Dynamic | None:
    if content[:4] != b"\x7fELF":
        return None
    bits, order = _CLASSES[content[4]], _ORDERS[content[5]]
    machine = struct.unpack_from(f"{order}H", content, 18)[0]
    segments = list(_segments(content, bits, order))
    interpreter = _part(content, segments, _INTERP).rstrip(b"\0").decode()
    pair = struct.Struct(order + ("QQ" if bits == 64 else "II"))
    part = _part(content, segments, _DYNAMIC)
    entries = list(pair.iter_unpack(part[: len(part) - len(part) % pair.size]))
    strings = next((_at(segments, value) for tag, value in entries if tag == _STRTAB), 0)

    def texts(wanted: int) -> tuple[str, ...]:
        found = [strings + value for tag, value in entries if tag == wanted]
        if len(found) > _MOST_NAMES:
            raise ValueError("more names than any program has")
        return tuple(content[at : content.index(b"\0", at, at + _LONGEST)].decode() for at in found)

    paths = texts(_RUNPATH) or texts(_RPATH)
    directories = tuple(part for path in paths for part in path.split(":") if part)
    return Dynamic(bits, order, machine, interpreter, texts(_NEEDED), directories)


def _segments(content: bytes, bits: int, order: str) -> Iterator[tuple[int, int, int, int]]:
    """The type, offset, address and size in the file of each program header."""
    if bits == 64:
        start, size, count = struct.unpack_from(f"{order}Q14xHH", content, 32)
        form = struct.Struct(f"{order}I4xQQ8xQ")
    else:
        start, size, count = struct.unpack_from(f"{order}I10xHH", content, 28)
        form = struct.Struct(f"{order}III4xI")
    for number in range(count):
        kind, offset, address, length = form.unpack_from(content, start + number * size)
        yield kind, offset, address, length


def _part(content: bytes, segments: list[tuple[int, int, int, int]], wanted: int) -> bytes:
    """What the first segment of a type holds."""
    for kind, offset, _, size in segments:
        if kind == wanted:
            return content[offset : offset + min(size, _MOST_BYTES)]
    return b""


def _at(segments: list[tuple[int, int, int, int]], address: int) -> int:
    """The place in the file of an address in memory."""
    for kind, offset, start, size in segments:
        if kind == _LOAD and start <= address < start + size:
            return offset + address - start
    raise ValueError("an address that no segment loads")
