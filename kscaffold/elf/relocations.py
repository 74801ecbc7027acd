"""Relocations, walked through as the x86-64 loader does: which one would it stumble over?

Source: __apply_relocate_add() in arch/x86/kernel/module.c. It writes only where zeros are, and refuses a
value that does not fit; that an entry points outside of its section it does not notice.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import lt
from typing import Literal

from kscaffold.arch.architecture import LoaderWrites
from kscaffold.elf.content import LIMIT
from kscaffold.elf.model import Flaw, Section
from kscaffold.elf.param_tables import TABLES, bare
from kscaffold.elf.validity import THIS_MODULE
from kscaffold.records import dataclass

# The loader keeps these to itself before it relocates: rewrite_section_headers(), and per-cpu data, which
# has a place of its own.
_PER_CPU = ".data..percpu"
UNRELOCATED = frozenset({".modinfo", "__versions", "__version_ext_crcs", "__version_ext_names", _PER_CPU})
# Relocations that are walked through one by one, at 0.2 µs each; larger modules are taken on trust.
_MOST_WALKED = 1 << 19
_ENTRY = struct.Struct("<QQq")
_ZEROS = {4: bytes(4), 8: bytes(8)}
_ONES = {4: b"\xff" * 4, 8: b"\xff" * 8}

# Where a symbol will be: in the upper two gigabytes with the kernel and its modules; in the buffer the
# file is read into, far from there; at a number; not known.
Home = Literal["near", "away", "number", "unknown"]


@dataclass(frozen=True, slots=True)
class RelocationMap:
    """Where each symbol of a file will be, by its index, and its section; and the values of those that are
    a number or lie at an offset of a section near the kernel.
    """

    of: Sequence[Home]
    sections: Sequence[int]
    values: Mapping[int, int]


def homes(symbols: Iterable[tuple[int, int, int]], sections: Sequence[Section]) -> RelocationMap:
    """`symbols`: section, value and binding of each, the first and empty one too."""
    of: list[Home] = []
    homes_of: list[int] = []
    values: dict[int, int] = {}
    for index, (shndx, value, binding) in enumerate(symbols):
        homes_of.append(shndx)
        if shndx == 0:
            of.append("near" if binding != 2 and index else "unknown")  # a weak one is 0 where nobody has it
        elif shndx == 0xFFF1:  # SHN_ABS
            of.append("number")
            values[index] = value
        elif shndx >= len(sections) or sections[shndx].name == _PER_CPU:
            of.append("unknown")
        else:
            here = sections[shndx]
            of.append("near" if here.alloc and here.name not in UNRELOCATED else "away")
            if of[-1] == "near":
                values[index] = value
    return RelocationMap(of, homes_of, values)


class RelocationWalker:
    """Walks through a file's relocations, section by section; what one writes the next one finds."""

    def __init__(
        self,
        sections: Sequence[Section],
        symbols: Iterable[tuple[int, int, int]],
        data: Callable[[Section], bytes],
        writes: LoaderWrites,
    ) -> None:
        self._writes = writes
        self._sections = sections
        self._symbols = symbols
        self._data = data
        self._left = _MOST_WALKED
        self._written: dict[int, bytearray] = {}
        self._homes: RelocationMap | None = None

    def flaw(self, section: Section, count: int) -> Flaw | None:
        """What the loader stumbles over in a relocation section of `count` entries."""
        target = self._sections[section.info]
        self._left -= count
        if self._left < 0 or target.name in UNRELOCATED:
            return None
        if target.index not in self._written:
            empty = target.type == "SHT_NOBITS"
            self._written[target.index] = bytearray(min(target.size, LIMIT) if empty else self._data(target))
        if target.name == THIS_MODULE:
            # What it has beside its pointers to init and exit, the kernel has filled by now.
            places = memoryview(self._data(section)[: count * 24]).cast("Q")[::3].tolist()
            if any(place % 8 for place in places):
                return "overlaps"
        alone = sum(s.info == target.index and s.type == "SHT_RELA" for s in self._sections) == 1
        written = self._written[target.index]
        return flaw(self._data(section), written, self._known(), self._writes, alone=alone)

    def bare(self) -> Iterator[str]:
        """The tables that the kernel follows, in which places have no relocation."""
        for target in self._sections:
            table = TABLES.get(target.name)
            if table is None or not target.alloc or target.type != "SHT_PROGBITS":
                continue
            mine = [s for s in self._sections if s.type == "SHT_RELA" and s.info == target.index]
            if sum(s.size for s in mine) <= 24 * _MOST_WALKED:
                known, count = self._known(), len(self._known().of)
                raw = b"".join(self._data(s)[: s.size // 24 * 24] for s in mine)
                entries = [(at, i & 0xFFFFFFFF, i >> 32, a) for at, i, a in _ENTRY.iter_unpack(raw)]
                filled = (
                    (at, known.sections[index], known.values.get(index, 0) + addend, kind)
                    for at, kind, index, addend in entries
                    if index < count
                )
                if bare(table, target.size, filled, self._sections, self._writes):
                    yield target.name

    def _known(self) -> RelocationMap:
        if self._homes is None:
            self._homes = homes(self._symbols, self._sections)
        return self._homes


def flaw(
    entries: bytes, content: bytearray, known: RelocationMap, writes: LoaderWrites, *, alone: bool
) -> Flaw | None:
    """The first entry of a section that the loader stumbles over, None where there is none before one of a
    type it does not know.

    `entries`: of Elf64_Rela. `content`: of the section they are for. `alone`: no others are for it. What
    is written there is marked, unless the places only rise, as a linker leaves them: that takes half the
    time.
    """
    entries = entries[: len(entries) // 24 * 24]
    places = memoryview(entries).cast("Q")[::3].tolist()
    rising = alone and all(map(lt, places, places[1:]))
    widths, signed, unsigned = writes.width, writes.signed_32, writes.unsigned_32
    size, count, high, written = len(content), len(known.of), 0, set[int]()
    for place, info, addend in _ENTRY.iter_unpack(entries):
        kind, index = info & 0xFFFFFFFF, info >> 32
        if index >= count:
            return "outside"  # looked up before the type is looked at
        width = widths.get(kind)
        if width is None:
            if kind:
                return None
            continue
        end = place + width
        if end > size:
            return "outside"
        if content[place:end] != _ZEROS[width]:
            return "overlaps" if any(at in written for at in range(place - 7, end)) else "taken"
        if not rising:
            content[place:end] = _ONES[width]
            written.add(place)
        elif place < high:
            return "overlaps"
        high = end
        if kind in (unsigned, signed):  # that a value fits is asked of these two only
            offset = known.values.get(index, 0) + addend
            if kind == signed and known.of[index] == "near" and -_SURE < offset < _SURE:
                continue  # nearly all
            if not _fits(known.of[index], offset, signed=kind == signed):
                return "far"
    return None


# Where modules are: the upper half of the two gigabytes (MODULES_VADDR, MODULES_END), and the kernel below.
_LOWEST, _HIGHEST, _SURE = -(1 << 31), -(1 << 24), 1 << 24


def _fits(home: Home, offset: int, *, signed: bool) -> bool:
    """Whether an address may fit into 32 bits: `offset` from where a section or another's symbol will be,
    or a number.
    """
    offset = (offset + (1 << 63)) % (1 << 64) - (1 << 63)
    if home == "unknown":
        return True
    if home == "away":
        return False
    least, most = (-(1 << 31), (1 << 31) - 1) if signed else (0, (1 << 32) - 1)
    low, high = (0, 0) if home == "number" else (_LOWEST, _HIGHEST)
    # Of a sum beyond 64 bits the lower ones are left.
    return any(
        low + offset <= most + wrap and high + offset >= least + wrap for wrap in (0, 1 << 64, -(1 << 64))
    )
