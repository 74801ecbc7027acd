"""Writes .ko files, so that tests need no compiler: a small linker of what a test asks for."""

import struct
from dataclasses import dataclass, field

ALLOC, WRITE, EXEC = 0x2, 0x1, 0x4
PROGBITS, SYMTAB, STRTAB, RELA, NOBITS = 1, 2, 3, 4, 8
LOCAL, GLOBAL, WEAK = 0, 1, 2
FUNC, OBJECT = 2, 1
VERMAGIC = "6.1.0-test SMP preempt mod_unload modversions "
STRUCT_SIZE = 896


# Name, bytes of an entry, places in one, type of relocation.
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
            strings, table = b"\0", bytes(24)
            for s in symbols:
                shndx = place[s.section] if isinstance(s.section, str) else s.section
                table += struct.pack("<IBBHQQ", len(strings), s.bind << 4 | s.kind, 0, shndx, s.value, 0)
                strings += s.name.encode() + b"\0"
            number = len(sections)
            sections.append(Section(".symtab", table, SYMTAB, 0, link=number + 1))
            sections.append(Section(".strtab", strings, STRTAB, 0))
            # As a linker leaves the tables that the kernel follows: each place has a relocation.
            for name, entry, places, kind in _TABLES:
                if name in place:
                    starts = range(0, len(sections[place[name]].data), entry)
                    spots = [start + at for start in starts for at in places]
                    rela = b"".join(struct.pack("<QQq", spot, kind, 0) for spot in spots)
                    sections.append(Section(f".rela{name}", rela, RELA, 0x40, number, place[name]))
            if self.this_module:
                rela = b""
                for offset, name in ((0x138, "init_module"), (0x300, "cleanup_module")):
                    index = next((i + 1 for i, s in enumerate(symbols) if s.name == name), None)
                    if index is not None:
                        rela += struct.pack("<QQq", offset, index << 32 | self.relocation, 0)
                this = place[".gnu.linkonce.this_module"]
                sections.append(Section(".rela.gnu.linkonce.this_module", rela, RELA, 0x40, number, this))
        return _linked(sections, self.machine)

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
            entries = [struct.pack("<Q56s", crc, n.encode()) for n, crc in crcs.items() if crc is not None]
            made.append(Section("__versions", b"".join(entries)))
        if self.parameters:
            made.append(Section("__param", bytes(40 * len(self.parameters))))
        if self.limits:
            made.append(Section(".rodata", b"".join(struct.pack("<Q", n) for n in self.limits.values())))
        for kind in ("", "gpl"):
            if kind in self.exports.values():
                suffix = f"_{kind}" if kind else ""
                made.append(Section(f"__ksymtab{suffix}", bytes(12 * len(self.exports))))
                if self.export_crcs:
                    made.append(Section(f"__kcrctab{suffix}", bytes(4 * len(self.exports))))
        if self.this_module:
            name = bytes(24) + self.name.encode()
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


def _linked(sections: list[Section], machine: int) -> bytes:
    sections = [*sections, Section(".shstrtab", b"", STRTAB, 0)]
    names = b""
    offsets = []
    for s in sections:
        offsets.append(len(names))
        names += s.name.encode() + b"\0"
    sections[-1].data = names
    body, headers = b"", b""
    for s, name in zip(sections, offsets, strict=True):
        at = 64 + len(body) if s.type else 0
        headers += struct.pack("<IIQQQQIIQQ", name, s.type, s.flags, 0, at, len(s.data), s.link, s.info, 1, 0)
        body += s.data if s.type != NOBITS else b""
    start = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        1,
        machine,
        1,
        0,
        0,
        64 + len(body),
        0,
        64,
        0,
        0,
        64,
        len(sections),
        len(sections) - 1,
    )
    return start + body + headers
