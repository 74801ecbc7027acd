"""Relocations, walked through as the x86-64 loader does: which one would it stumble over?

Source: __apply_relocate_add() in arch/x86/kernel/module.c. It writes only where zeros are, and refuses a
value that does not fit; that an entry points outside of its section it does not notice.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import lt
from typing import Literal

from kscaffold.module.content import LIMIT
from kscaffold.module.facts import Flaw, Section
from kscaffold.module.validity import THIS_MODULE

# The loader keeps these to itself before it relocates: rewrite_section_headers(), and per-cpu data, which
# has a place of its own.
_PER_CPU = ".data..percpu"
UNRELOCATED = frozenset({".modinfo", "__versions", "__version_ext_crcs", "__version_ext_names", _PER_CPU})
# Bytes written by each type: 64, PC32, PLT32, 32, 32S, PC64. NONE writes none.
_WIDTH = {1: 8, 2: 4, 4: 4, 10: 4, 11: 4, 24: 8}
_32, _32S = 10, 11  # that a value fits is asked of these two only
# Relocations that are walked through one by one, at 0.2 µs each; larger modules are taken on trust.
_MOST_WALKED = 1 << 19
_ENTRY = struct.Struct("<QQq")
_ZEROS = {4: bytes(4), 8: bytes(8)}
_ONES = {4: b"\xff" * 4, 8: b"\xff" * 8}

# Where a symbol will be: in the upper two gigabytes with the kernel and its modules; in the buffer the
# file is read into, far from there; at a number; not known.
Home = Literal["near", "away", "number", "unknown"]


@dataclass(frozen=True, slots=True)
class Homes:
    """Where each symbol of a file will be, by its index, and the numbers of those that are one."""

    of: Sequence[Home]
    numbers: Mapping[int, int]


def homes(symbols: Iterable[tuple[int, int, int]], sections: Sequence[Section]) -> Homes:
    """`symbols`: section, value and binding of each, the first and empty one too."""
    of: list[Home] = []
    numbers: dict[int, int] = {}
    for index, (shndx, value, binding) in enumerate(symbols):
        if shndx == 0:
            of.append("near" if binding != 2 and index else "unknown")  # a weak one is 0 where nobody has it
        elif shndx == 0xFFF1:  # SHN_ABS
            of.append("number")
            numbers[index] = value
        elif shndx >= len(sections) or sections[shndx].name == _PER_CPU:
            of.append("unknown")
        else:
            here = sections[shndx]
            of.append("near" if here.alloc and here.name not in UNRELOCATED else "away")
    return Homes(of, numbers)


class Walk:
    """Walks through a file's relocations, section by section; what one writes the next one finds."""

    def __init__(
        self,
        sections: Sequence[Section],
        symbols: Iterable[tuple[int, int, int]],
        data: Callable[[Section], bytes],
    ) -> None:
        self._sections = sections
        self._symbols = symbols
        self._data = data
        self._left = _MOST_WALKED
        self._written: dict[int, bytearray] = {}
        self._homes: Homes | None = None

    def flaw(self, section: Section, count: int) -> Flaw | None:
        """What the loader stumbles over in a relocation section of `count` entries."""
        target = self._sections[section.info]
        self._left -= count
        if self._left < 0 or target.name in UNRELOCATED:
            return None
        if self._homes is None:
            self._homes = homes(self._symbols, self._sections)
        if target.index not in self._written:
            empty = target.type == "SHT_NOBITS"
            self._written[target.index] = bytearray(min(target.size, LIMIT) if empty else self._data(target))
        if target.name == THIS_MODULE:
            # What it has beside its pointers to init and exit, the kernel has filled by now.
            places = memoryview(self._data(section)[: count * 24]).cast("Q")[::3].tolist()
            if any(place % 8 for place in places):
                return "overlaps"
        alone = sum(s.info == target.index and s.type == "SHT_RELA" for s in self._sections) == 1
        return flaw(self._data(section), self._written[target.index], self._homes, alone=alone)


def flaw(entries: bytes, content: bytearray, known: Homes, *, alone: bool) -> Flaw | None:
    """The first entry of a section that the loader stumbles over, None where there is none before one of a
    type it does not know.

    `entries`: of Elf64_Rela. `content`: of the section they are for. `alone`: no others are for it. What
    is written there is marked, unless the places only rise, as a linker leaves them: that takes half the
    time.
    """
    entries = entries[: len(entries) // 24 * 24]
    places = memoryview(entries).cast("Q")[::3].tolist()
    rising = alone and all(map(lt, places, places[1:]))
    size, count, high, written = len(content), len(known.of), 0, set[int]()
    for place, info, addend in _ENTRY.iter_unpack(entries):
        kind, index = info & 0xFFFFFFFF, info >> 32
        if index >= count:
            return "outside"  # looked up before the type is looked at
        width = _WIDTH.get(kind)
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
        home = known.of[index]
        if home == "near":
            if kind == _32:
                return "far"
        elif home == "away":
            if kind in (_32, _32S):
                return "far"
        elif home == "number" and kind == _32 and (known.numbers[index] + addend) % (1 << 64) >= 1 << 32:
            return "far"
    return None
