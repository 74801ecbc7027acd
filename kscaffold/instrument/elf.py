"""The ELF writer: a copy of a .ko whose chosen undefined symbols have other names, and versions to match.

Any width and byte order. A section that grows is written again behind the file's end and its section header
points there; what was there stays, unused: no offset of another section moves.
"""

import struct
from collections.abc import Iterable, Mapping

from kscaffold.errors import KscaffoldError
from kscaffold.records import dataclass, field

_SYMTAB, _UNDEFINED = 2, 0
# struct modversion_info: an unsigned long and the name, 64 bytes in all (include/linux/module.h).
_ENTRY = 64
_CRCS, _NAMES = "__version_ext_crcs", "__version_ext_names"


@dataclass(slots=True)
class _Section:
    """A section header: the place of its fields in the file, and what is in it."""

    name: str
    type: int
    offset: int
    size: int
    link: int
    header: int


@dataclass(slots=True)
class _File:
    """A relocatable ELF file, taken apart as far as renaming needs it. `order`: as in struct."""

    data: bytearray
    bits: int
    order: str
    sections: list[_Section] = field(default_factory=list)

    def content(self, section: _Section) -> bytes:
        return bytes(self.data[section.offset : section.offset + section.size])

    def replace(self, section: _Section, content: bytes) -> None:
        """Put new content behind the end of the file, and point the section's header there."""
        self.data += b"\0" * (-len(self.data) % 16)
        section.offset, section.size = len(self.data), len(content)
        self.data += content
        # sh_offset and sh_size follow sh_name, sh_type (4 bytes each), sh_flags and sh_addr (a word each).
        word = "Q" if self.bits == 64 else "I"
        at = section.header + 8 + 2 * self.bits // 8
        struct.pack_into(self.order + word * 2, self.data, at, section.offset, section.size)

    def section(self, name: str) -> _Section | None:
        return next((s for s in self.sections if s.name == name), None)


def undefined_symbols(data: bytes) -> tuple[str, ...]:
    """The names a module takes from elsewhere, in the order of its symbol table.

    Raises KscaffoldError KS406 for what is no whole ELF file.
    """
    file = _open(data)
    table, names = _symbol_table(file)
    text = file.content(names)
    return tuple(name for _, _, name in _undefined(file, table, text))


def rename_undefined(data: bytes, names: Mapping[str, str], crcs: Mapping[str, int]) -> bytes:
    """A copy of a .ko that takes each symbol of `names` under its new name.

    `crcs`: the version of each new name. A module that has versions gets one for each of them, in the
    64-byte form and in the extended form, whichever it has; a module without versions stays without.
    Raises KscaffoldError KS406 for what is no whole ELF file.
    """
    file = _open(data)
    table, strings = _symbol_table(file)
    text = bytearray(file.content(strings))
    renamed: list[str] = []
    for at, _, name in list(_undefined(file, table, bytes(text))):
        if name in names:
            struct.pack_into(file.order + "I", file.data, at, len(text))
            text += names[name].encode() + b"\0"
            renamed.append(name)
    file.replace(strings, bytes(text))
    versions = [(names[name], crcs[names[name]]) for name in renamed if names[name] in crcs]
    _set_versions(file, frozenset(renamed), versions)
    return bytes(file.data)


def _set_versions(file: _File, gone: frozenset[str], added: Iterable[tuple[str, int]]) -> None:
    basic = file.section("__versions")
    crcs, names = file.section(_CRCS), file.section(_NAMES)
    added = tuple(added)
    word = struct.Struct(file.order + ("Q" if file.bits == 64 else "I"))
    room = _ENTRY - word.size
    if basic is not None:
        content = file.content(basic)
        entries = [content[i : i + _ENTRY] for i in range(0, len(content) - _ENTRY + 1, _ENTRY)]
        kept = [e for e in entries if e[word.size :].partition(b"\0")[0].decode(errors="replace") not in gone]
        # A name too long for an entry has none: the extended form was made for such (v6.14).
        kept += [word.pack(crc) + n.encode().ljust(room, b"\0") for n, crc in added if len(n) < room]
        file.replace(basic, b"".join(kept))
    if crcs is not None and names is not None:
        values = struct.unpack(f"{file.order}{crcs.size // 4}I", file.content(crcs)[: crcs.size // 4 * 4])
        known = file.content(names).split(b"\0")[: len(values)]
        pairs = [(n, v) for n, v in zip(known, values, strict=True) if n.decode(errors="replace") not in gone]
        pairs += [(n.encode(), crc) for n, crc in added]
        file.replace(crcs, struct.pack(f"{file.order}{len(pairs)}I", *(v for _, v in pairs)))
        file.replace(names, b"".join(n + b"\0" for n, _ in pairs))


def _undefined(file: _File, table: _Section, text: bytes) -> Iterable[tuple[int, int, str]]:
    """The place of the entry, the number and the name of each undefined symbol that has a name."""
    size, shndx = (24, 6) if file.bits == 64 else (16, 14)
    for number in range(1, table.size // size):
        at = table.offset + number * size
        (name,) = struct.unpack_from(file.order + "I", file.data, at)
        (home,) = struct.unpack_from(file.order + "H", file.data, at + shndx)
        if home == _UNDEFINED and name:
            yield at, number, text[name : text.find(b"\0", name)].decode(errors="replace")


def _symbol_table(file: _File) -> tuple[_Section, _Section]:
    table = next((s for s in file.sections if s.type == _SYMTAB), None)
    if table is None or table.link >= len(file.sections):
        raise _damaged("it has no symbol table")
    return table, file.sections[table.link]


def _open(data: bytes) -> _File:
    if data[:4] != b"\x7fELF" or data[4:5] not in (b"\1", b"\2") or data[5:6] not in (b"\1", b"\2"):
        raise _damaged("it is no ELF file")
    file = _File(bytearray(data), 64 if data[4] == 2 else 32, "<" if data[5] == 1 else ">")
    try:
        _read_sections(file)
    except (struct.error, IndexError) as error:
        raise _damaged(f"its section headers are not whole: {error}") from None
    return file


def _read_sections(file: _File) -> None:
    order, wide = file.order, file.bits == 64
    (start,) = struct.unpack_from(order + ("Q" if wide else "I"), file.data, 40 if wide else 32)
    size, count, names = struct.unpack_from(order + "HHH", file.data, 58 if wide else 46)
    header = struct.Struct(order + ("IIQQQQI" if wide else "IIIIIII"))
    for number in range(count):
        at = start + number * size
        name, kind, _, _, offset, length, link = header.unpack_from(file.data, at)
        file.sections.append(_Section(str(name), kind, offset, length, link, at))
    strings = file.content(file.sections[names])
    for section in file.sections:
        begin = int(section.name)
        section.name = strings[begin : strings.find(b"\0", begin)].decode(errors="replace")


def _damaged(cause: str) -> KscaffoldError:
    return KscaffoldError("KS406", "the module's file can't be copied with other names in it", cause=cause)
