"""Writes .ko files of any class and byte order, so that tests need no compiler: a small linker of what a test
asks for.
"""

import importlib
import struct
from dataclasses import dataclass, field
from typing import Any

from kscaffold.arch.architecture import Architecture

ALLOC, WRITE, EXEC = 0x2, 0x1, 0x4
PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
LOCAL, GLOBAL, WEAK = 0, 1, 2
FUNC, OBJECT = 2, 1
VERMAGIC = "6.1.0-test SMP preempt mod_unload modversions "
STRUCT_SIZE = 896


def of(architecture: str, **more: Any) -> "Ko":
    """A module for one of the data files in kscaffold/arch: its class, byte order and kind of relocations."""
    record: Architecture = importlib.import_module(f"kscaffold.arch.{architecture}").ARCHITECTURE
    return Ko(machine=record.elf_machine, bits=record.bits, order=record.order, rela=record.rela, **more)


# Name, bytes of an entry, places in one, type of relocation; of 64 bits.
_TABLES = (("__param", 40, (0, 16), 1), ("__ksymtab", 12, (0, 4), 2), ("__ksymtab_gpl", 12, (0, 4), 2))


@dataclass
class Section:
    name: str
    data: bytes = b""
    type: int = PROGBITS
    flags: int = ALLOC
    link: int = 0
    info: int = 0


@dataclass
class Symbol:
    name: str
    section: str | int = 0
    value: int = 0
    bind: int = GLOBAL
    kind: int = FUNC


@dataclass
class Ko:
    """A module; change what a test is about, then take `bytes()`."""

    name: str = "hello"
    init: tuple[str, str] | None = ("hello_init", ".init.text")
    exit: tuple[str, str] | None = ("hello_exit", ".exit.text")
    license: str | None = "GPL"
    vermagic: str | None = VERMAGIC
    depends: str = ""
    info: list[tuple[str, str]] = field(default_factory=list)
    parameters: dict[str, str | None] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    imports: dict[str, int | None] = field(default_factory=lambda: {"_printk": 0x92997ED8})
    weak: list[str] = field(default_factory=list)
    exports: dict[str, str] = field(default_factory=dict)  # name → "", "gpl"
    layout_crc: int | None = 0x1234
    versions: bool = True
    machine: int = 62
    bits: int = 64
    order: str = "<"
    rela: bool = True
    struct_size: int = STRUCT_SIZE
    this_module: bool = True
    symbols: bool = True
    relocation: int = 1
    export_crcs: bool = True
    sections: list[Section] = field(default_factory=list)
    more_symbols: list[Symbol] = field(default_factory=list)

    def bytes(self) -> bytes:
        sections = [Section("", type=0, flags=0), *self._content()]
        place = {s.name: i for i, s in reversed(list(enumerate(sections)))}
        symbols = self._symbols()
        if self.symbols:
            strings, table = b"\0", bytes(24 if self.bits == 64 else 16)
            for s in symbols:
                shndx = place[s.section] if isinstance(s.section, str) else s.section
                table += self._symbol(len(strings), s, shndx)
                strings += s.name.encode() + b"\0"
            number = len(sections)
            sections.append(Section(".symtab", table, SYMTAB, 0, link=number + 1))
            sections.append(Section(".strtab", strings, STRTAB, 0))
            # As a linker leaves the tables that the kernel follows: each place has a relocation.
            for name, entry, places, kind in _TABLES:
                if name in place:
                    starts = range(0, len(sections[place[name]].data), entry)
                    spots = [start + at for start in starts for at in places]
                    sections.append(
                        self._relocations(name, [(s, 0, kind) for s in spots], number, place[name])
                    )
            if self.this_module:
                ends = []
                for offset, name in ((0x138, "init_module"), (0x300, "cleanup_module")):
                    index = next((i + 1 for i, s in enumerate(symbols) if s.name == name), None)
                    if index is not None:
                        ends.append((offset, index, self.relocation))
                this = ".gnu.linkonce.this_module"
                sections.append(self._relocations(this, ends, number, place[this]))
        return _linked(sections, self.machine, self.bits, self.order)

    @property
    def _word(self) -> str:
        return "Q" if self.bits == 64 else "I"

    def _symbol(self, name: int, s: Symbol, shndx: int) -> bytes:
        if self.bits == 64:
            return struct.pack(self.order + "IBBHQQ", name, s.bind << 4 | s.kind, 0, shndx, s.value, 0)
        return struct.pack(self.order + "IIIBBH", name, s.value, 0, s.bind << 4 | s.kind, 0, shndx)

    def _relocations(
        self, name: str, entries: list[tuple[int, int, int]], symbols: int, target: int
    ) -> Section:
        """The relocation section of a section: place, symbol and type of each entry."""
        shift, word = (32 if self.bits == 64 else 8), self._word
        form = struct.Struct(f"{self.order}{word}{word}{word if self.rela else ''}")
        raw = b"".join(
            form.pack(at, symbol << shift | kind, *([0] if self.rela else [])) for at, symbol, kind in entries
        )
        prefix, type_ = (".rela", RELA) if self.rela else (".rel", REL)
        return Section(prefix + name, raw, type_, 0x40, symbols, target)

    def _content(self) -> list[Section]:
        info = [("license", self.license), *self.info]
        for name, kind in self.parameters.items():
            if kind is not None:
                info += [("parmtype", f"{name}:{kind}"), ("parm", f"{name}:about {name}")]
        info += [("depends", self.depends), ("name", self.name), ("vermagic", self.vermagic)]
        text = b"".join(f"{k}={v}".encode() + b"\0" for k, v in info if v is not None)
        made = [
            Section(".text", bytes(16), flags=ALLOC | EXEC),
            Section(".init.text", bytes(16), flags=ALLOC | EXEC),
            Section(".exit.text", bytes(16), flags=ALLOC | EXEC),
            Section(".modinfo", text),
        ]
        if self.versions:
            crcs = {"module_layout": self.layout_crc, **self.imports}
            entry = struct.Struct(f"{self.order}{self._word}{64 - self.bits // 8}s")
            entries = [entry.pack(crc, n.encode()) for n, crc in crcs.items() if crc is not None]
            made.append(Section("__versions", b"".join(entries)))
        if self.parameters:
            made.append(Section("__param", bytes(40 * len(self.parameters))))
        if self.limits:
            made.append(
                Section(
                    ".rodata", b"".join(struct.pack(self.order + self._word, n) for n in self.limits.values())
                )
            )
        for kind in ("", "gpl"):
            if kind in self.exports.values():
                suffix = f"_{kind}" if kind else ""
                made.append(Section(f"__ksymtab{suffix}", bytes(12 * len(self.exports))))
                if self.export_crcs:
                    made.append(Section(f"__kcrctab{suffix}", bytes(4 * len(self.exports))))
        if self.this_module:
            name = bytes(3 * self.bits // 8) + self.name.encode()
            made.append(
                Section(".gnu.linkonce.this_module", name.ljust(self.struct_size, b"\0"), flags=ALLOC | WRITE)
            )
        return made + self.sections

    def _symbols(self) -> list[Symbol]:
        made = []
        for alias, end in (("init_module", self.init), ("cleanup_module", self.exit)):
            if end is not None:
                own, section = end
                if own != alias:
                    made.append(Symbol(own, section, 0, LOCAL))
                made.append(Symbol(alias, section, 0, GLOBAL))
        for number, name in enumerate(self.parameters):
            made.append(Symbol(f"__param_{name}", "__param", 40 * number, LOCAL, OBJECT))
        for number, name in enumerate(self.limits):
            kind = "string" if self.parameters[name] == "string" else "arr"
            made.append(Symbol(f"__param_{kind}_{name}", ".rodata", 8 * number, LOCAL, OBJECT))
        for number, (name, kind) in enumerate(self.exports.items()):
            made.append(Symbol(name, ".text"))
            made.append(
                Symbol(f"__ksymtab_{name}", f"__ksymtab_{kind}" if kind else "__ksymtab", 12 * number)
            )
        made += [Symbol(name, 0, 0, GLOBAL, 0) for name in self.imports]
        made += [Symbol(name, 0, 0, WEAK, 0) for name in self.weak]
        return made + self.more_symbols


def _linked(sections: list[Section], machine: int, bits: int = 64, order: str = "<") -> bytes:
    word, size, entry = ("Q", 64, 64) if bits == 64 else ("I", 52, 40)
    sections = [*sections, Section(".shstrtab", b"", STRTAB, 0)]
    names = b""
    offsets = []
    for s in sections:
        offsets.append(len(names))
        names += s.name.encode() + b"\0"
    sections[-1].data = names
    body, headers = b"", b""
    for s, name in zip(sections, offsets, strict=True):
        at = size + len(body) if s.type else 0
        form = f"{order}II4{word}II2{word}"
        headers += struct.pack(form, name, s.type, s.flags, 0, at, len(s.data), s.link, s.info, 1, 0)
        body += s.data if s.type != NOBITS else b""
    start = struct.pack(
        f"{order}16sHHI3{word}IHHHHHH",
        b"\x7fELF" + bytes((bits // 32, 1 if order == "<" else 2, 1)),
        1,
        machine,
        1,
        0,
        0,
        size + len(body),
        0,
        size,
        0,
        0,
        entry,
        len(sections),
        len(sections) - 1,
    )
    return start + body + headers
