"""The few facts of a .ko that every load needs, without the 70 ms that importing an ELF reader takes."""

import contextlib
import struct
from pathlib import Path
from typing import NamedTuple, Protocol

from kscaffold import lazy
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader

COMPRESSED = (b"\xfd7zXZ\x00", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
"""How the files of compressed modules begin: xz, gzip, zstd."""
BUILD_ID = ".note.gnu.build-id"
_NAME = lazy.pattern(rb"[A-Za-z0-9_]{1,59}")
# The last bytes of a signed module (include/linux/module_signature.h).
SIGNED = b"~Module signature appended~\n"


class Readable(Protocol):
    """A .ko that can be read: its path, or its bytes under the file's name (a ModuleFile)."""

    @property
    def name(self) -> str:
        """The file's name."""

    def read_bytes(self) -> bytes:
        """All bytes of the file."""


_SYMTAB, _FUNC = 2, 2
_ABSOLUTE = 16  # of no section: not a type of ELF's
_WRITE, _ALLOC, _EXEC = 1, 2, 4


class _Form(NamedTuple):
    """Where things are in the ELF files of one class and byte order. `offset_at`: of e_shoff in the file
    header, `counts_at`: of e_shentsize, e_shnum and e_shstrndx.
    """

    offset: struct.Struct
    offset_at: int
    counts: struct.Struct
    counts_at: int
    section: struct.Struct
    symbol: struct.Struct


def _form(bits: int, order: str) -> _Form:
    """The form of ELF files of `bits` (32 or 64) and `order`, as struct writes it."""
    word, at, counts_at = ("I", 32, 46) if bits == 32 else ("Q", 40, 58)
    return _Form(
        struct.Struct(order + word),
        at,
        struct.Struct(order + "HHH"),
        counts_at,
        struct.Struct(f"{order}II4{word}II2{word}"),
        struct.Struct(order + ("IIIBBH" if bits == 32 else "IBBHQQ")),
    )


_FORMS = {(1, 1): (32, "<"), (1, 2): (32, ">"), (2, 1): (64, "<"), (2, 2): (64, ">")}


class _Section(NamedTuple):
    """A section header, as far as it is looked at."""

    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int


class _Symbol(NamedTuple):
    """An entry of the symbol table; `section` is "" for what comes from elsewhere."""

    name: str
    section: str
    value: int
    size: int
    is_function: bool


class _Elf(NamedTuple):
    """The bytes of an ELF file, b"" for what is none, and how they are read."""

    data: bytes
    bits: int
    form: _Form


def existing(ko: Path) -> Path:
    """`path`, once a file is there. Raises UsageError KS281 where there is none."""
    if ko.is_dir():
        raise UsageError("KS281", f"{ko} is a directory", fix="name a .ko, or cd there and name none")
    if not ko.is_file():
        from kscaffold.files.near import missing_module_fix  # start-up time: only after a typing error

        what = "is no regular file" if ko.exists() else "is not there"
        raise UsageError("KS281", f"{ko} {what}", fix=missing_module_fix(ko))
    return ko


def foreign_machine(ko: Path) -> Architecture | None:
    """The architecture of a .ko that is not for this machine; None for one that is, and where the file does
    not say, is compressed, or is no plain file: whoever reads it whole says so.
    """
    try:
        reader.require_plain(ko)
        with ko.open("rb") as file:
            machine = table.of_elf(file.read(64))
    except (OSError, KscaffoldError):
        return None
    return None if machine is table.host() else machine


def module_name(ko: Readable) -> str:
    """The name the kernel will know this module by: that of struct module, else `name` of its .modinfo,
    else made of the file's.
    """
    elf = _read(ko)
    # Behind `enum module_state` and a list head; another kernel's compiler may have moved it. What is left of
    # 64 bytes without a long is the name's (MODULE_NAME_LEN).
    word = elf.bits // 8
    name = _content(elf, ".gnu.linkonce.this_module")[3 * word :][: 64 - word]
    name, nul, _ = name.partition(b"\0")
    if nul and _NAME.fullmatch(name):
        return name.decode()
    return _modinfo(elf).get("name") or normalize_name(ko.name.partition(".ko")[0])


def built_with(ko: Readable) -> tuple[str | None, int | None]:
    """The vermagic of a module, and the bytes of its struct module; None where it has none."""
    elf = _read(ko)
    return _modinfo(elf).get("vermagic"), len(_content(elf, ".gnu.linkonce.this_module")) or None


def depends(ko: Readable) -> tuple[str, ...]:
    """The modules that this one says it needs, by the kernel's names."""
    return tuple(normalize_name(name) for name in _modinfo(_read(ko)).get("depends", "").split(",") if name)


def needed_back(name: str, owner: str, directory: Path) -> bool:
    """Whether the module `owner` of this directory needs the module `name` in turn, itself or through others
    there.
    """
    seen: set[str] = set()
    todo = [owner]
    while todo:
        now = todo.pop()
        files = (directory / f"{n}.ko" for n in (now, now.replace("_", "-")))
        file = next((f for f in files if f.is_file()), None) if now not in seen else None
        needed = depends(file) if file else ()
        if name in needed:
            return True
        seen.add(now)
        todo += needed
    return False


def imports(ko: Readable) -> frozenset[str]:
    """The names of the symbols that a module takes from elsewhere."""
    return frozenset(s.name for s in _symbols(_read(ko)) if not s.section)


def exports(ko: Readable) -> frozenset[str]:
    """The names of the symbols that a module exports."""
    mark = "__ksymtab_"
    return frozenset(s.name[len(mark) :] for s in _symbols(_read(ko)) if s.name.startswith(mark))


def resident(ko: Readable) -> dict[str, int]:
    """The sections of code and of variables that a loaded module has in memory: bytes by name."""
    with contextlib.suppress(struct.error, IndexError):
        return {
            s.name: s.size
            for s in _sections(_read(ko))
            if s.size and s.flags & _ALLOC and s.flags & (_WRITE | _EXEC) and not s.name.startswith(".init")
        }
    return {}


def symbol_at(ko: Readable, section: str, offset: int) -> tuple[str, int, int] | None:
    """The last symbol of a section that begins at or before an offset: its name, where in it, its size."""
    here = [s for s in _symbols(_read(ko)) if s.section == section]
    before = [s for s in here if s.value <= offset]
    if not before:
        return None
    # A lockdep key takes no room, and has the address of the variable behind it.
    found = max(before, key=lambda s: (s.value, s.size))
    end = min((s.value for s in here if s.value > found.value), default=offset + 1)
    return found.name, offset - found.value, found.size or end - found.value


def calls(ko: Readable, function: str) -> frozenset[str]:
    """The imported functions that a function of the module's own code calls, or takes the address of."""
    elf = _read(ko)
    symbols = [symbol for _, symbol in _table(elf)]
    mine = next((s for s in symbols if s.is_function and s.section and s.name == function), None)
    if mine is None:
        return frozenset()
    inside = range(mine.value, mine.value + mine.size)
    found = (symbols[index] for at, index, _ in _relocations(elf, mine.section) if at in inside)
    return frozenset(s.name for s in found if not s.section)


def self_lists(ko: Readable, section: str) -> tuple[int, ...]:
    """Where a list head stands in a section that leads to itself, as LIST_HEAD_INIT() makes one; none where
    the relocations have no addends.
    """
    elf = _read(ko)
    symbols = [symbol for _, symbol in _table(elf)]
    to = {
        at: symbols[index].value + addend
        for at, index, addend in _relocations(elf, section)
        if addend is not None and symbols[index].section == section
    }
    word = elf.bits // 8
    return tuple(at for at, where in sorted(to.items()) if where == at and to.get(at + word) == at)


def soft_dependencies(ko: Readable) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What MODULE_SOFTDEP() wants loaded before and after a module, as it is written there."""
    entries = _content(_read(ko), ".modinfo").decode(errors="replace").split("\0")
    pre: list[str] = []
    post: list[str] = []
    for entry in entries:
        # Words before the first `pre:` or `post:` count for nothing, in kmod as well.
        into: list[str] | None = None
        for word in entry.removeprefix("softdep=").split() if entry.startswith("softdep=") else ():
            if word in ("pre:", "post:"):
                into = pre if word == "pre:" else post
            elif into is not None:
                into.append(word)
    return tuple(pre), tuple(post)


def functions(ko: Readable) -> tuple[str, ...]:
    """The names of the functions that stay in memory, in the order of the code: without init and exit, pieces
    that the compiler cut off (`name.cold`), and names that two functions have.
    """
    resident = [s for s in _symbols(_read(ko)) if s.section.startswith(".text") and s.is_function]
    names = [s.name for s in sorted(resident, key=lambda s: (s.section, s.value))]
    return tuple(n for n in names if n.isidentifier() and names.count(n) == 1 and not n.startswith("__pfx_"))


def build_id(ko: Readable) -> bytes | None:
    """The note that tells one build of a module from another."""
    return _content(_read(ko), BUILD_ID) or None


def _modinfo(elf: _Elf) -> dict[str, str]:
    """The first value of each key in .modinfo."""
    entries = _content(elf, ".modinfo").decode(errors="replace").split("\0")
    pairs = [entry.partition("=") for entry in reversed(entries)]
    return {key: value for key, equals, value in pairs if equals}


def _content(elf: _Elf, name: str) -> bytes:
    """The bytes of the first section of that name; b"" where there is none."""
    with contextlib.suppress(struct.error, IndexError):
        for section in _sections(elf):
            if section.name == name:
                return elf.data[section.offset : section.offset + section.size]
    return b""


def _read(ko: Readable) -> _Elf:
    """The ELF file at `ko`, of any class and byte order, unpacked where it is compressed; an empty one for
    anything else.

    No judgement on the file: whatever is wrong with it, the kernel or `check` says it better.
    """
    data = b""
    with contextlib.suppress(OSError, KscaffoldError):
        data = ko.read_bytes()
        if data.startswith(COMPRESSED):
            from kscaffold.elf import content  # start-up time: few are compressed

            data = content.unpacked(data, Path(ko.name))[0]
    ident = table.believed_ident(data) if data[:4] == b"\x7fELF" and len(data) >= 20 else b"\0\0"
    known = _FORMS.get((ident[0], ident[1]))
    bits, order = known or (64, "<")
    return _Elf(data if known else b"", bits, _form(bits, order))


def _sections(elf: _Elf) -> list[_Section]:
    data, form = elf.data, elf.form
    if not data:
        return []
    (offset,) = form.offset.unpack_from(data, form.offset_at)
    size, count, names = form.counts.unpack_from(data, form.counts_at)
    if offset + size * count > len(data):
        raise IndexError("headers beyond the end")
    headers = [form.section.unpack_from(data, offset + i * size) for i in range(count)]
    strings = headers[names][4]
    return [_Section(_text(data, strings + h[0]), h[1], h[2], h[4], h[5], h[6]) for h in headers]


def _symbols(elf: _Elf) -> list[_Symbol]:
    """The variables and functions, and what comes from elsewhere."""
    return [symbol for kind, symbol in _table(elf) if symbol.name and kind <= _FUNC]


def _table(elf: _Elf) -> list[tuple[int, _Symbol]]:
    """The whole symbol table: the type of each entry, and the entry."""
    data, entry = elf.data, elf.form.symbol
    found: list[tuple[int, _Symbol]] = []
    with contextlib.suppress(struct.error, IndexError):
        sections = _sections(elf)
        symtab = next((s for s in sections if s.type == _SYMTAB), None)
        if symtab is None:
            return []
        names = sections[symtab.link].offset
        raw = data[symtab.offset : symtab.offset + symtab.size // entry.size * entry.size]
        for fields in entry.iter_unpack(raw):
            if elf.bits == 64:
                name, kind, _, number, value, size = fields
            else:
                name, value, size, kind, _, number = fields
            known = number < len(sections)
            home = (sections[number].name if number else "") if known else None
            kind = kind & 0xF if home is not None else _ABSOLUTE
            text = _text(data, names + name) if name else ""
            found.append((kind, _Symbol(text, home or "", value, size, kind == _FUNC)))
    return found


def _relocations(elf: _Elf, section: str) -> list[tuple[int, int, int | None]]:
    """Of each relocation of a section its place, the number of its symbol, and its addend where it has one.
    (mips64 writes them in another way.)
    """
    found: list[tuple[int, int, int | None]] = []
    word = "Q" if elf.bits == 64 else "I"
    order = elf.form.symbol.format[0]
    with contextlib.suppress(struct.error, IndexError):
        for name, addend in ((f".rela{section}", True), (f".rel{section}", False)):
            entry = struct.Struct(f"{order}2{word}{word.lower() if addend else ''}")
            content = _content(elf, name)
            for fields in entry.iter_unpack(content[: len(content) // entry.size * entry.size]):
                number = fields[1] >> (32 if elf.bits == 64 else 8)
                found.append((fields[0], number, fields[2] if addend else None))
    return found


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + 512)
    return data[at : end if end >= 0 else at + 512].decode(errors="replace")
