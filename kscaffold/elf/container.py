"""What is in a module's ELF file, as bytes and numbers, bounded; kofile.py makes facts of them."""

import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from sys import byteorder

from kscaffold.arch.architecture import Architecture
from kscaffold.elf import content, modinfo
from kscaffold.elf.model import DamagedModule, Section
from kscaffold.records import dataclass

# A riscv64 module has a label for each place that the linker may relax: amdgpu has 1.7 million.
_MOST_SYMBOLS = 1 << 22
# Which 32-bit word of a relocation entry has its type and its symbol: r_info is the second field.
_TYPE_WORD = {(64, "<"): 2, (64, ">"): 3, (32, "<"): 1, (32, ">"): 1}
_SYMBOL_WORD = {(64, "<"): 3, (64, ">"): 2, (32, "<"): 1, (32, ">"): 1}


@dataclass(frozen=True, slots=True)
class Elf:
    """A file that passed the kernel's checks, while it is taken apart. `order`: as in struct, `<` or `>`."""

    content: bytes
    bits: int
    order: str
    architecture: Architecture
    sections: tuple[Section, ...]

    def find_section(self, name: str) -> Section | None:
        """The first section of that name that is loaded, as the loader's find_sec() takes it."""
        return next((s for s in self.sections if s.alloc and s.name == name), None)

    def data(self, section: Section, most: int) -> bytes:
        """A section's bytes. Raises where there are more than any module has."""
        if section.type == "SHT_NOBITS":
            return b""
        if section.size > most:
            raise _unread(f"its section {section.name} has {section.size} bytes")
        return self.content[section.offset : section.offset + section.size]

    def mode(self, section: Section, offset: int) -> int:
        """The permissions in a struct kernel_param: behind its name, module and operations."""
        at = section.offset + offset + 3 * self.bits // 8
        end = section.offset + section.size
        return int(struct.unpack_from(self.order + "H", self.content, at)[0]) if at + 2 <= end else 0

    def byte(self, section: Section, offset: int) -> int:
        """The byte at an offset of a section, 0 beyond its end."""
        at = section.offset + offset
        inside = section.type != "SHT_NOBITS" and offset < section.size and at < len(self.content)
        return self.content[at] if inside else 0

    def string(self, section: Section, offset: int) -> str:
        """The NUL-terminated string at an offset of a section, "" beyond its end."""
        start, end = section.offset + offset, section.offset + section.size
        if section.type == "SHT_NOBITS" or not section.offset <= start < end:
            return ""
        nul = self.content.find(b"\0", start, min(end, start + 4096))
        return modinfo.text(self.content[start : nul if nul >= 0 else min(end, start + 4096)])

    def symbols(self, table: Section) -> Iterator[tuple[int, int, int, int]]:
        """Name's offset, info, section and value of every symbol."""
        entry = struct.Struct(self.order + ("IBBHQQ" if self.bits == 64 else "IIIBBH"))
        raw = self.data(table, _MOST_SYMBOLS * entry.size)
        for fields in entry.iter_unpack(raw[: len(raw) // entry.size * entry.size]):
            if self.bits == 64:
                name, info, _, shndx, value, _ = fields
            else:
                name, value, _, info, _, shndx = fields
            yield name, info, shndx, value

    def relocation_types(self, section: Section) -> Counter[int]:
        """How often each type is in a relocation section: millions of entries in milliseconds."""
        types = self._words(section)[_TYPE_WORD[self.bits, self.order] :: self._entry(section) // 4]
        return Counter(types) if self.bits == 64 else Counter(t & 0xFF for t in types)

    def relocation_symbols(self, section: Section, most: int) -> set[int]:
        """The numbers of the symbols in the first `most` entries of a relocation section."""
        words = self._words(section)[: most * self._entry(section) // 4]
        infos = words[_SYMBOL_WORD[self.bits, self.order] :: self._entry(section) // 4]
        return {i if self.bits == 64 else i >> 8 for i in infos}

    def _entry(self, section: Section) -> int:
        return (3 if section.type == "SHT_RELA" else 2) * self.bits // 8

    def _words(self, section: Section) -> "array[int]":
        raw = self.data(section, content.LIMIT)
        size = self._entry(section)
        words = array("I", raw[: len(raw) // size * size])
        if (self.order == "<") != (byteorder == "little"):
            words.byteswap()
        return words


def _unread(cause: str) -> DamagedModule:
    # A kernel might take it, so no stage is named.
    return DamagedModule("KS406", "the file is larger inside than any module", cause=cause, refusal=None)
