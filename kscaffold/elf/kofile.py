"""The one door to pyelftools, and to ELF: a .ko comes in, a KoFile leaves, whatever the bytes are."""

import hashlib
import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The structures alone: ELFFile would import all of pyelftools' DWARF, and refuses files that a kernel
# takes. What we need of a module is headers, sections and symbols.
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from kscaffold.arch import table as architectures
from kscaffold.elf import content, modinfo, relocations, signature, symbols, validity
from kscaffold.elf.container import Elf
from kscaffold.elf.model import Compression, DamagedModule, KoFile, Relocations, Section
from kscaffold.elf.symbols import Symbol
from kscaffold.errors import KscaffoldError

# Bounds for hostile files; the largest modules have a tenth of each bound.
_MOST_INFO = 4 << 20
_MOST_VERSIONS = 1 << 20


def read_ko(path: Path) -> KoFile:
    """What the .ko at `path` says.

    Raises UsageError (KS401) where there is no such file, KscaffoldError (KS402) where it can't be read,
    and DamagedModule where its bytes are no module.
    """
    raw, compression = content.read_content(path)
    return parse_ko(raw, path, compression)


def symbol_section(path: Path, symbol: str, size: int = 0) -> tuple[str, int] | None:
    """The section that a function of the .ko is in, and its offset there in bytes; None where it has none
    of that name. `size`: as place_in(). Raises as read() does.
    """
    return place_in(content.read_content(path)[0], path, symbol, size)


def place_in(raw: bytes, path: Path, symbol: str, size: int = 0) -> tuple[str, int] | None:
    """As place(), in the bytes of a .ko; `path` is for messages. Of several static functions of the name
    `size` says which: bytes up to the next symbol, as the kernel counts them. Raises DamagedModule.
    """
    elf = _open(raw, signature.find_signature(raw)[1], path)
    table = _symbols(elf)
    found = [s for s in table if s.name == symbol and 0 < s.shndx < len(elf.sections)]
    if not found:
        return None

    def length(one: Symbol) -> int:
        behind = [s.value for s in table if s.shndx == one.shndx and s.value > one.value]
        return min(behind, default=0) - one.value

    chosen = next((s for s in found if len(found) > 1 and length(s) == size), found[0])
    return elf.sections[chosen.shndx].name, chosen.value


def parse_ko(raw: bytes, path: Path, compression: Compression | None = None) -> KoFile:
    """What the bytes of a .ko say; `path` is for messages. Raises DamagedModule."""
    try:
        return _parse(raw, path, compression)
    except KscaffoldError:
        raise
    except Exception as error:
        # pyelftools and struct have many errors for bytes that make no sense; this door has one.
        raise DamagedModule(
            "KS406",
            f"{path} is damaged",
            cause=f"{type(error).__name__}: {error}"[:200],
            fix="kscaffold build",
            refusal=None,
        ) from None


def _parse(raw: bytes, path: Path, compression: Compression | None) -> KoFile:
    trailer, length = signature.find_signature(raw)
    elf = _open(raw, length, path)
    info_section = elf.find_section(".modinfo")
    info = modinfo.pairs(elf.data(info_section, _MOST_INFO)) if info_section else ()
    this = elf.find_section(validity.THIS_MODULE)
    assert this is not None  # module_flaw() saw it
    struct_name = _struct_name(elf, this)
    table, walk = _symbols(elf), _walk(elf)
    undefined, weak = symbols.undefined(table)
    ends = _ends(elf, this, table)
    return KoFile(
        path=path,
        size=len(raw),
        digest=hashlib.blake2b(raw, digest_size=16).hexdigest(),
        compression=compression,
        machine=elf.architecture.elf_machine_name,
        arch=elf.architecture.name,
        bits=elf.bits,
        name=next((v for k, v in info if k == "name"), struct_name or ""),
        struct_name=struct_name,
        struct_size=this.size,
        struct_filled=_struct_filled(elf, this),
        modinfo=info,
        init=symbols.function(ends, table, "init_module", elf.sections),
        exit=symbols.function(ends, table, "cleanup_module", elf.sections),
        parameters=modinfo.parameters(
            info, symbols.parameter_names(table, elf.sections), _array_bounds(elf, table)
        ),
        undefined=undefined,
        weak_imports=weak,
        exports=symbols.exports(table, elf.sections, elf.string, elf.byte),
        commons=symbols.commons(table),
        misnamed=sum(s.misnamed for s in table),
        misplaced=symbols.misplaced(table, len(elf.sections)),
        doubled=symbols.doubled(table, elf.sections, elf.mode),
        versions=_versions(elf),
        sections=elf.sections,
        relocations=tuple(_relocations(elf, walk)),
        bare=tuple(walk.bare()) if walk else (),
        signature=trailer,
    )


def image_sections(image: Any) -> tuple[Section, ...]:
    """The sections of an x86-64 kernel image, an open file or a map of one. Raises ValueError for others."""
    structs = _structs(64, "<")
    try:
        header: Any = struct_parse(structs.Elf_Ehdr, image, 0)
        structs.create_advanced_structs(header.e_type, header.e_machine)
        size = structs.Elf_Shdr.sizeof()
        places = range(header.e_shoff, header.e_shoff + header.e_shnum * size, size)
        headers = [struct_parse(structs.Elf_Shdr, image, place) for place in places]
        return _sections(headers, header.e_shstrndx, image)
    except Exception as error:  # as in parse_ko()
        raise ValueError(str(error)) from None


def _structs(bits: int, order: str) -> ELFStructs:
    structs = ELFStructs(little_endian=order == "<", elfclass=bits)
    structs.create_basic_structs()
    return structs


def _open(raw: bytes, length: int, path: Path) -> Elf:
    """The kernel's checks in its order, each before what it protects is read."""
    seen = raw[:length]
    _refuse(validity.header_flaw(seen, path, 52))
    ident = bytearray(raw[:16])
    ident[4:6] = architectures.believed_ident(raw)
    bits, order = {1: 32, 2: 64}.get(ident[4]), {1: "<", 2: ">"}.get(ident[5])
    if bits is None or order is None:
        raise _foreign(path, f"class {ident[4]}, byte order {ident[5]}")
    _refuse(validity.header_flaw(seen, path, 64 if bits == 64 else 52))
    structs = _structs(bits, order)
    stream = io.BytesIO(bytes(ident) + raw[16:])
    header: Any = struct_parse(structs.Elf_Ehdr, stream, 0)
    _refuse(validity.type_flaw(header.e_type, path))
    architecture = architectures.of_elf(bytes(ident) + raw[16:20])
    if architecture is None:
        raise _foreign(path, str(header.e_machine))
    structs.create_advanced_structs(header.e_type, header.e_machine)
    size = structs.Elf_Shdr.sizeof()
    _refuse(validity.table_flaw(header.e_shoff, header.e_shnum, header.e_shentsize, size, length, path))
    places = range(header.e_shoff, header.e_shoff + header.e_shnum * size, size)
    headers = [struct_parse(structs.Elf_Shdr, stream, place) for place in places]
    sections = _sections(headers, header.e_shstrndx, raw)
    _refuse(validity.sections_flaw(sections, header.e_shstrndx, raw, length, path))
    _refuse(validity.module_flaw(sections, path))
    return Elf(raw, bits, order, architecture, sections)


def _sections(headers: Sequence[Any], names: int, raw: Any) -> tuple[Section, ...]:
    start = headers[names].sh_offset if names < len(headers) else len(raw)
    end = start + headers[names].sh_size if names < len(headers) else start
    sections = []
    for index, h in enumerate(headers):
        at = min(start + h.sh_name, end)
        nul = raw.find(b"\0", at, min(end, at + 256))
        sections.append(
            Section(
                index=index,
                name=modinfo.text(raw[at:nul]) if nul > at else "",
                type=str(h.sh_type),
                flags=h.sh_flags,
                address=h.sh_addr,
                offset=h.sh_offset,
                size=h.sh_size,
                link=h.sh_link,
                info=h.sh_info,
                name_offset=h.sh_name,
                alignment=h.sh_addralign,
            )
        )
    return tuple(sections)


def _symbols(elf: Elf) -> list[Symbol]:
    """The symbol table without its first, empty entry. Unpacked here: pyelftools takes 40 µs a symbol,
    which is seconds for a large driver.
    """
    table = next(s for s in elf.sections if s.type == "SHT_SYMTAB")
    strings = elf.sections[table.link]
    found = []
    text = elf.data(strings, content.LIMIT)
    for index, (name, info, shndx, value) in enumerate(elf.symbols(table)):
        # A section's symbol has no name, and the loader looks at its place.
        if index and (name or shndx in (0, 0xFFF2) or shndx >= len(elf.sections)):
            nul = text.find(b"\0", name, name + 4096)
            shown = modinfo.text(text[name : nul if nul >= 0 else name + 4096])
            found.append(Symbol(index, shown, value, shndx, info, name >= len(text)))
    return found


def _array_bounds(elf: Elf, table: Sequence[Symbol]) -> dict[str, int]:
    """The limits of arrays and strings: the first word of struct kparam_array and struct kparam_string."""
    found = {}
    for symbol in table:
        _, kind, name = symbol.name.rpartition("__param_arr_")
        if not kind:
            _, kind, name = symbol.name.rpartition("__param_string_")
        if kind and 0 < symbol.shndx < len(elf.sections):
            section = elf.sections[symbol.shndx]
            if section.type == "SHT_PROGBITS" and symbol.value + 4 <= section.size:
                at = section.offset + symbol.value
                (found[name],) = struct.unpack_from(elf.order + "I", elf.content, at)
    return found


def _struct_name(elf: Elf, this: Section) -> str | None:
    """The name in struct module: behind `enum module_state` and a list head, unless that is randomized."""
    word = elf.bits // 8
    raw = elf.data(this, 1 << 20)[3 * word : 3 * word + 64 - word]
    name, nul, _ = raw.partition(b"\0")
    return modinfo.text(name) if name and nul and name.isascii() else None


def _struct_filled(elf: Elf, this: Section) -> int | None:
    """Where struct module has something else than its name, before the kernel and relocations fill it."""
    word = elf.bits // 8
    raw = bytearray(elf.data(this, 1 << 20))
    raw[3 * word : 3 * word + 64 - word] = bytes(min(64 - word, max(0, len(raw) - 3 * word)))
    return next((at for at, byte in enumerate(raw) if byte), None)


def _versions(elf: Elf) -> dict[str, int] | None:
    """The CRCs, by symbol: of `__versions`, or of the two sections that hold names of any length.

    Linux kernel commit 54ac1ac8edeb "modules: Support extended MODVERSIONS info" (in v6.14) reads the two.
    """
    found: dict[str, int] = {}
    basic = elf.find_section("__versions")
    if basic is not None:
        # struct modversion_info: unsigned long crc; char name[64 - sizeof(long)].
        entry = struct.Struct(elf.order + ("Q56s" if elf.bits == 64 else "I60s"))
        raw = elf.data(basic, _MOST_VERSIONS * 64)
        for crc, name in entry.iter_unpack(raw[: len(raw) // 64 * 64]):
            # The loader takes the first entry of a name.
            found.setdefault(modinfo.text(name.partition(b"\0")[0]), crc)
    crcs, names = elf.find_section("__version_ext_crcs"), elf.find_section("__version_ext_names")
    if crcs is not None and names is not None:
        raw = elf.data(crcs, _MOST_VERSIONS * 4)
        numbers = struct.unpack(f"{elf.order}{len(raw) // 4}I", raw[: len(raw) // 4 * 4])
        texts = elf.data(names, _MOST_VERSIONS * 64).split(b"\0")
        found.update({modinfo.text(n): crc for n, crc in zip(texts, numbers, strict=False) if n})
    return found if basic is not None or crcs is not None else None


def _relocations(elf: Elf, walk: relocations.RelocationWalker | None) -> list[Relocations]:
    """The relocation sections of what is loaded; those of debug information are never applied."""
    found = []
    for section in elf.sections[1:]:
        addend = section.type == "SHT_RELA"
        if not addend and section.type != "SHT_REL":
            continue
        # Symbols and their names are loaded too: layout_symtab() sees to it.
        table = next(s for s in elf.sections if s.type == "SHT_SYMTAB")
        if section.info >= len(elf.sections) or not (
            elf.sections[section.info].alloc or section.info in (table.index, table.link)
        ):
            continue
        counts = elf.relocation_types(section)
        total = counts.total()
        flaw = walk.flaw(section, total) if walk and addend else None
        found.append(Relocations(section.index, section.info, addend, total, counts, flaw))
    return found


def _walk(elf: Elf) -> relocations.RelocationWalker | None:
    writes = elf.architecture.loader_writes
    if writes is None:
        return None
    table = next(s for s in elf.sections if s.type == "SHT_SYMTAB")
    fields = ((shndx, value, info >> 4) for _, info, shndx, value in elf.symbols(table))
    return relocations.RelocationWalker(
        elf.sections, fields, lambda section: elf.data(section, content.LIMIT), writes
    )


def _ends(elf: Elf, this: Section, table: Sequence[Symbol]) -> list[Symbol]:
    """The symbols that struct module points at: at most init and exit."""
    found = []
    for section in elf.sections[1:]:
        if section.info != this.index or section.type not in ("SHT_RELA", "SHT_REL"):
            continue
        numbers = elf.relocation_symbols(section, 64)
        found += [s for s in table if s.index in numbers]
    return found


def _refuse(flaw: DamagedModule | None) -> None:
    if flaw is not None:
        raise flaw


def _foreign(path: Path, what: str) -> DamagedModule:
    return DamagedModule(
        "KS407",
        f"{path} is for another architecture",
        cause=f"{what}, which no kernel we know runs on",
        fix="build it for the kernel that shall load it",
    )
