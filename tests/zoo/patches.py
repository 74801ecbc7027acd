"""What is done to a built .ko, byte by byte. Each takes the bytes and gives others."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Patch = Callable[[bytes], bytes]

_MAGIC = b"~Module signature appended~\n"
_SHT_REL, _SHT_RELA = 9, 4
_MIPS = 8
_VERSION = 64  # bytes of a struct modversion_info: a checksum (unsigned long) and a name


class _Form(NamedTuple):
    """How ELF files of one class and byte order are laid out, as struct module formats"""

    order: str
    bits: int

    @property
    def section(self) -> struct.Struct:
        """Elf32_Shdr, Elf64_Shdr."""
        return struct.Struct(self.order + ("IIQQQQIIQQ" if self.bits == 64 else "IIIIIIIIII"))

    @property
    def symbol(self) -> struct.Struct:
        """Elf32_Sym, Elf64_Sym."""
        return struct.Struct(self.order + ("IBBHQQ" if self.bits == 64 else "IIIBBH"))

    @property
    def word(self) -> struct.Struct:
        """Elf32_Addr, Elf64_Addr; the kernel's unsigned long."""
        return struct.Struct(self.order + ("Q" if self.bits == 64 else "I"))

    @property
    def half(self) -> struct.Struct:
        """Elf32_Half, Elf64_Half."""
        return struct.Struct(self.order + "H")

    @property
    def whole(self) -> struct.Struct:
        """Elf32_Word, Elf64_Word."""
        return struct.Struct(self.order + "I")


def _form(ko: bytes) -> _Form:
    return _Form("<" if ko[5] == 1 else ">", 64 if ko[4] == 2 else 32)


def _headers(ko: bytes) -> Iterator[tuple[str, int, list[int]]]:
    """Name, the header's place in the file, and its fields, of each section."""
    form = _form(ko)
    (table,) = form.word.unpack_from(ko, 40 if form.bits == 64 else 32)
    _, count, names = struct.unpack_from(f"{form.order}HHH", ko, 58 if form.bits == 64 else 46)
    headers = [list(form.section.unpack_from(ko, table + i * form.section.size)) for i in range(count)]
    strings = headers[names][4]
    for i, header in enumerate(headers):
        start = strings + header[0]
        yield ko[start : ko.index(b"\0", start)].decode(), table + i * form.section.size, header


def _section(ko: bytes, name: str) -> tuple[int, list[int]]:
    return next((at, header) for found, at, header in _headers(ko) if found == name)


def _relocations(ko: bytes, of: str) -> tuple[int, list[int], int]:
    """The relocations of a section: its header's place and fields, and where in an entry its type is."""
    form = _form(ko)
    names = (f".rela{of}", f".rel{of}")
    at, header = next((at, header) for found, at, header in _headers(ko) if found in names)
    return at, header, form.word.size + (4 if (form.order, form.bits) == (">", 64) else 0)


def _write(ko: bytes, at: int, new: bytes) -> bytes:
    return ko[:at] + new + ko[at + len(new) :]


def replaced(old: bytes, new: bytes) -> Patch:
    """Every one of these strings becomes another of the same length."""
    assert len(old) == len(new)

    def patch(ko: bytes) -> bytes:
        assert old in ko
        return ko.replace(old, new)

    return patch


def in_section(section: str, old: bytes, new: bytes) -> Patch:
    """The same in one section only."""
    assert len(old) == len(new)

    def patch(ko: bytes) -> bytes:
        _, header = _section(ko, section)
        start, size = header[4], header[5]
        assert old in ko[start : start + size]
        return _write(ko, start, ko[start : start + size].replace(old, new))

    return patch


def both(*patches: Patch) -> Patch:
    """One after the other."""

    def patch(ko: bytes) -> bytes:
        for one in patches:
            ko = one(ko)
        return ko

    return patch


def crc(*symbols: str) -> Patch:
    """Other checksums of these symbols; the first that the module has."""

    def patch(ko: bytes) -> bytes:
        _, header = _section(ko, "__versions")
        word = _form(ko).word
        for at in range(header[4], header[4] + header[5], _VERSION):
            if ko[at + word.size : at + _VERSION].rstrip(b"\0").decode() in symbols:
                return _write(ko, at, word.pack(word.unpack_from(ko, at)[0] ^ 0xFF))
        raise AssertionError(symbols)

    return patch


def no_section(name: str) -> Patch:
    """The loader does not see it any more: its name is another."""

    def patch(ko: bytes) -> bytes:
        at, header = _section(ko, name)
        return _write(ko, at, _form(ko).whole.pack(header[0] + 1))

    return patch


def struct_size(by: int) -> Patch:
    """struct module of another size, as of another configuration."""

    def patch(ko: bytes) -> bytes:
        at, header = _section(ko, ".gnu.linkonce.this_module")
        form = _form(ko)
        return _write(ko, at + (32 if form.bits == 64 else 20), form.word.pack(header[5] + by))

    return patch


def section_type(name: str, number: int) -> Patch:
    """A section of another type."""

    def patch(ko: bytes) -> bytes:
        at, _ = _section(ko, name)
        return _write(ko, at + 4, _form(ko).whole.pack(number))

    return patch


def no_crc(*symbols: str) -> Patch:
    """The checksum of these symbols has another name; the first that the module has."""

    def patch(ko: bytes) -> bytes:
        _, header = _section(ko, "__versions")
        word = _form(ko).word.size
        for at in range(header[4], header[4] + header[5], _VERSION):
            if ko[at + word : at + _VERSION].rstrip(b"\0").decode() in symbols:
                return _write(ko, at + word, b"X")
        raise AssertionError(symbols)

    return patch


def reversed_versions(ko: bytes) -> bytes:
    """The checksums in another order."""
    _, header = _section(ko, "__versions")
    start, end = header[4], header[4] + header[5]
    entries = [ko[at : at + _VERSION] for at in range(start, end, _VERSION)]
    return _write(ko, start, b"".join(reversed(entries)))


def relocation_of(old: int, new: int) -> Patch:
    """The first relocation of this type, of what is loaded, becomes one of another."""

    def patch(ko: bytes) -> bytes:
        for name, _, header in _headers(ko):
            if header[1] != 4 or name.startswith(".rela.debug"):
                continue
            for at in range(header[4], header[4] + header[5], 24):
                if struct.unpack_from("<I", ko, at + 8) == (old,):
                    return _write(ko, at + 8, struct.pack("<I", new))
        raise AssertionError(old)

    return patch


def filled_place(relocations: str, section: str) -> Patch:
    """Something stands where the first relocation is to be written."""

    def patch(ko: bytes) -> bytes:
        _, entries = _section(ko, relocations)
        _, target = _section(ko, section)
        (place,) = struct.unpack_from("<Q", ko, entries[4])
        return _write(ko, target[4] + place, b"\x01")

    return patch


def misplaced(symbol: bytes) -> Patch:
    """This symbol is said to be in a section that is not there."""
    return _in_section_number(symbol, 0xFFFE)


def relocation(number: int) -> Patch:
    """The first relocation of .init.text becomes one of another type."""

    def patch(ko: bytes) -> bytes:
        _, header, where = _relocations(ko, ".init.text")
        form = _form(ko)
        if form.bits == 64:
            return _write(ko, header[4] + where, form.whole.pack(number))
        (info,) = form.whole.unpack_from(ko, header[4] + where)
        return _write(ko, header[4] + where, form.whole.pack(info & ~0xFF | number))

    return patch


def other_kind_of_relocations(ko: bytes) -> bytes:
    """Those of .init.text are said to have addends where they have none, and none where they have some."""
    at, header, _ = _relocations(ko, ".init.text")
    other = _SHT_REL if header[1] == _SHT_RELA else _SHT_RELA
    return _write(ko, at + 4, _form(ko).whole.pack(other))


def common(symbol: bytes) -> Patch:
    """An undefined symbol becomes a common one."""
    return _in_section_number(symbol, 0xFFF2)


def _in_section_number(symbol: bytes, number: int) -> Patch:
    def patch(ko: bytes) -> bytes:
        _, table = _section(ko, ".symtab")
        _, strings = _section(ko, ".strtab")
        form = _form(ko)
        for at in range(table[4], table[4] + table[5], form.symbol.size):
            start = strings[4] + form.whole.unpack_from(ko, at)[0]
            if ko[start : start + len(symbol) + 1] == symbol + b"\0":
                return _write(ko, at + (6 if form.bits == 64 else 14), form.half.pack(number))
        raise AssertionError(symbol)

    return patch


def release(ko: bytes) -> bytes:
    """Another release in vermagic, the rest as it is."""
    return _write(ko, ko.index(b"vermagic=") + 9, b"9")


def cut(ko: bytes) -> bytes:
    """Half of the file."""
    return ko[: len(ko) // 2]


def magic_only(ko: bytes) -> bytes:
    """A signature's last line behind what is none: its type is none that the kernel knows."""
    return ko + bytes(12) + _MAGIC


def bad_trailer(ko: bytes) -> bytes:
    """A signature that says it is longer than the file."""
    return ko + bytes([0, 0, 2, 0, 0, 0, 0, 0]) + struct.pack(">I", 0xFFFFFFFF) + _MAGIC


def other_type(ko: bytes) -> bytes:
    """A signature whose message is of another type: its object identifier is another."""
    (length,) = struct.unpack_from(">I", ko, len(ko) - len(_MAGIC) - 4)
    start = len(ko) - len(_MAGIC) - 12 - length
    at = ko.index(b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", start)
    return _write(ko, at + 8, b"\x03")


def flipped(ko: bytes) -> bytes:
    """One bit of a signed module."""
    assert ko.endswith(_MAGIC), "not signed"
    return _write(ko, 300, bytes([ko[300] ^ 1]))


def other_machine(ko: bytes) -> bytes:
    """Built for another processor."""
    return _write(ko, 18, _form(ko).half.pack(_MIPS))


def kind(number: int) -> Patch:
    """An ELF file of another kind: 1 relocatable, 2 and 3 executable."""
    return lambda ko: _write(ko, 16, _form(ko).half.pack(number))


def content(new: bytes) -> Patch:
    """Something else altogether."""
    return lambda _: new


def stripped(ko: bytes) -> bytes:
    """No symbol table any more, as `strip` leaves it: its section is of no type."""
    return section_type(".symtab", 1)(ko)
