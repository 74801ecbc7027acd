"""The few facts of a .ko that every load needs, without the 70 ms that importing an ELF reader takes."""

import contextlib
import re
import struct
from pathlib import Path
from typing import NamedTuple

from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError, UsageError

COMPRESSED = (b"\xfd7zXZ\x00", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
"""How the files of compressed modules begin: xz, gzip, zstd."""
BUILD_ID = ".note.gnu.build-id"
_NAME = re.compile(rb"[A-Za-z0-9_]{1,55}")
# The last bytes of a signed module (include/linux/module_signature.h).
SIGNED = b"~Module signature appended~\n"


def existing(ko: Path) -> Path:
    """The same path. Raises UsageError KS281 where there is no such file."""
    if ko.is_dir():
        raise UsageError("KS281", f"{ko} is a directory", fix="name a .ko, or cd there and name none")
    if not ko.is_file():
        what = "is no regular file" if ko.exists() else "is not there"
        raise UsageError("KS281", f"{ko} {what}", fix="kscaffold build, or name a .ko that exists")
    return ko


def module_name(ko: Path) -> str:
    """The name the kernel will know this module by: that of struct module, else `name` of its .modinfo,
    else made of the file's.
    """
    data = _read(ko)
    # Behind `enum module_state` and a list head; another kernel's compiler may have moved it.
    name = _content(data, ".gnu.linkonce.this_module")[24:80].partition(b"\0")[0]
    if _NAME.fullmatch(name):
        return name.decode()
    return _modinfo(data).get("name") or normalize_name(ko.name.partition(".ko")[0])


def depends(ko: Path) -> tuple[str, ...]:
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


def imports(ko: Path) -> frozenset[str]:
    """The names of the symbols that a module takes from elsewhere."""
    return frozenset(s.name for s in _symbols(_read(ko)) if not s.section)


def resident(ko: Path) -> dict[str, int]:
    """The sections of code and of variables that a loaded module has in memory: bytes by name."""
    with contextlib.suppress(struct.error, IndexError):
        return {
            s.name: s.size
            for s in _sections(_read(ko))
            if s.size and s.flags & _ALLOC and s.flags & (_WRITE | _EXEC) and not s.name.startswith(".init")
        }
    return {}


def symbol_at(ko: Path, section: str, offset: int) -> tuple[str, int, int] | None:
    """The last symbol of a section that begins at or before an offset: its name, where in it, its size."""
    here = [s for s in _symbols(_read(ko)) if s.section == section]
    before = [s for s in here if s.value <= offset]
    if not before:
        return None
    found = max(before, key=lambda s: s.value)
    end = min((s.value for s in here if s.value > found.value), default=offset + 1)
    return found.name, offset - found.value, found.size or end - found.value


def build_id(ko: Path) -> bytes | None:
    """The note that tells one build of a module from another."""
    return _content(_read(ko), BUILD_ID) or None


def _modinfo(data: bytes) -> dict[str, str]:
    """The first value of each key in .modinfo."""
    entries = _content(data, ".modinfo").decode(errors="replace").split("\0")
    pairs = [entry.partition("=") for entry in reversed(entries)]
    return {key: value for key, equals, value in pairs if equals}


def _content(data: bytes, name: str) -> bytes:
    """What is in the first section of that name; b"" where there is none."""
    with contextlib.suppress(struct.error, IndexError):
        for section in _sections(data):
            if section.name == name:
                return data[section.offset : section.offset + section.size]
    return b""


_SYMTAB, _FUNC = 2, 2
_WRITE, _ALLOC, _EXEC = 1, 2, 4
_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


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


def _read(ko: Path) -> bytes:
    """The bytes of a 64-bit little-endian ELF, unpacked where it is compressed; b"" for anything else. Of
    one for x86-64 the kernel does not ask the width and the order.

    No judgement on the file: whatever is wrong with it, the kernel or `check` says it better.
    """
    try:
        data = ko.read_bytes()
        if data.startswith(COMPRESSED):
            from kscaffold.elf import content  # start-up time: few are compressed

            data = content.read_content(ko)[0]
    except (OSError, KscaffoldError):
        return b""
    known = data[4:6] == b"\x02\x01" or data[18:20] == b"\x3e\x00"
    return data if known and data[:4] == b"\x7fELF" else b""


def _sections(data: bytes) -> list[_Section]:
    if not data:
        return []
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    if offset + size * count > len(data):
        raise IndexError("headers beyond the end")
    headers = [_HEADER.unpack_from(data, offset + i * size) for i in range(count)]
    strings = headers[names][4]
    return [_Section(_text(data, strings + h[0]), h[1], h[2], h[4], h[5], h[6]) for h in headers]


def _symbols(data: bytes) -> list[_Symbol]:
    found: list[_Symbol] = []
    with contextlib.suppress(struct.error, IndexError):
        sections = _sections(data)
        table = next((s for s in sections if s.type == _SYMTAB), None)
        if table is None:
            return []
        names = sections[table.link].offset
        raw = data[table.offset : table.offset + table.size // _SYMBOL.size * _SYMBOL.size]
        for name, kind, _, number, value, size in _SYMBOL.iter_unpack(raw):
            if name and kind & 0xF <= _FUNC and number < len(sections):
                home = sections[number].name if number else ""
                found.append(_Symbol(_text(data, names + name), home, value, size))
    return found


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + 512)
    return data[at : end if end >= 0 else at + 512].decode(errors="replace")
