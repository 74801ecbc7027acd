"""The few facts of a .ko that every load needs, without the 70 ms that importing an ELF reader takes."""

import re
import struct
from collections.abc import Mapping
from pathlib import Path

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.project.project import kernel_name

COMPRESSED = (b"\xfd7zXZ\x00", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
"""How the files of compressed modules begin: xz, gzip, zstd."""
_READ = frozenset({b".modinfo", b".gnu.linkonce.this_module"})
_NAME = re.compile(rb"[A-Za-z0-9_]{1,55}")
# The last bytes of a signed module (include/linux/module_signature.h).
SIGNED = b"~Module signature appended~\n"


def existing(ko: Path) -> Path:
    """The same path. Raises UsageError KS281 where there is no such file."""
    if ko.is_dir():
        raise UsageError("KS281", f"{ko} is a directory", fix="name a .ko, or cd there and name none")
    if not ko.is_file():
        raise UsageError("KS281", f"{ko} is not there", fix="kscaffold build, or name a .ko that exists")
    return ko


def module_name(ko: Path) -> str:
    """The name the kernel will know this module by: that of struct module, else `name` of its .modinfo,
    else made of the file's.
    """
    sections = _sections(ko)
    # Behind `enum module_state` and a list head; another kernel's compiler may have moved it.
    name = sections.get(b".gnu.linkonce.this_module", b"")[24:80].partition(b"\0")[0]
    if _NAME.fullmatch(name):
        return name.decode()
    return _modinfo(sections).get("name") or kernel_name(ko.name.partition(".ko")[0])


def depends(ko: Path) -> tuple[str, ...]:
    """The modules that this one says it needs, by the kernel's names."""
    return tuple(kernel_name(name) for name in _modinfo(_sections(ko)).get("depends", "").split(",") if name)


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


def _modinfo(sections: Mapping[bytes, bytes]) -> dict[str, str]:
    """The first value of each key in .modinfo."""
    entries = sections.get(b".modinfo", b"").decode(errors="replace").split("\0")
    pairs = [entry.partition("=") for entry in reversed(entries)]
    return {key: value for key, equals, value in pairs if equals}


def _sections(ko: Path) -> dict[bytes, bytes]:
    """The two sections that are read here, by their names; none where the file is no 64-bit little-endian
    ELF, compressed or not. Of one for x86-64 the kernel does not ask that.

    No judgement on the file: whatever is wrong with it, the kernel or `check` says it better.
    """
    try:
        data = ko.read_bytes()
        if data.startswith(COMPRESSED):
            from kscaffold.module import content  # start-up time: few are compressed

            data = content.read(ko)[0]
        if data[:4] != b"\x7fELF" or (data[4:6] != b"\x02\x01" and data[18:20] != b"\x3e\x00"):
            return {}
        (offset,) = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        headers = [struct.unpack_from("<IIQQQQ", data, offset + i * size) for i in range(count)]
        strings = headers[names][4]
        named = [
            (data[strings + name : strings + name + 32].partition(b"\0")[0], start, length)
            for name, _, _, _, start, length in reversed(headers)
        ]
        return {name: data[start : start + length] for name, start, length in named if name in _READ}
    except (OSError, struct.error, IndexError, OverflowError, KscaffoldError):
        pass
    return {}
