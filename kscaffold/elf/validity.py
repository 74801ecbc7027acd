"""The kernel's own checks of an ELF file, in its order, before it looks at anything else.

Source: elf_validity_check() and setup_load_info() in kernel/module/main.c (6.1), which later versions
split but did not loosen. What only later versions check is in predict/elf.py.
"""

from collections.abc import Sequence
from pathlib import Path

from kscaffold.elf.model import DamagedModule, Section

_REBUILD = "kscaffold build"
THIS_MODULE = ".gnu.linkonce.this_module"


def header_flaw(content: bytes, path: Path, least: int) -> DamagedModule | None:
    """What is wrong before the ELF header can be read; `least`: the size of the shortest header, bytes."""
    if not content.startswith(b"\x7fELF"):
        return DamagedModule(
            "KS404",
            f"{path} is not an ELF file",
            cause=f"it begins with {repr(content[:4])[1:]}",
            fix="give the .ko that the build made",
        )
    if len(content) < least:
        return _truncated(path, f"it has {len(content)} bytes, an ELF header alone has {least}")
    return None


def type_flaw(e_type: object, path: Path) -> DamagedModule | None:
    """A module is a relocatable object; programs and shared libraries are not."""
    if e_type == "ET_REL":
        return None
    kind = {"ET_EXEC": "a program", "ET_DYN": "a program or shared library", "ET_CORE": "a core dump"}
    return DamagedModule(
        "KS408",
        f"{path} is {kind.get(str(e_type), 'no relocatable object')}, not a module",
        cause=f"its ELF type is {e_type}, a module's is ET_REL",
        fix="give the .ko that the build made",
    )


def table_flaw(
    shoff: int, shnum: int, shentsize: int, expected: int, length: int, path: Path
) -> DamagedModule | None:
    """Whether the table of section headers lies within the file."""
    if shentsize != expected:
        return _damaged(path, f"its section headers are said to have {shentsize} bytes, not {expected}")
    if shoff >= length or shnum * expected > length - shoff:
        return _truncated(path, "its section headers lie beyond its end")
    return None


def sections_flaw(
    sections: Sequence[Section], names: int, content: bytes, length: int, path: Path
) -> DamagedModule | None:
    """Whether every section lies within the file and the name table is one. `names`: e_shstrndx."""
    if names == 0 or names >= len(sections):
        return _damaged(path, f"its section name table is said to be section {names} of {len(sections)}")
    table = sections[names]
    if table.offset + table.size > length:
        return _truncated(path, "its section name table lies beyond its end")
    if table.size == 0:
        # Kernels before Linux kernel commit ec2a29593c83 "module: harden ELF info handling" (in v5.12) do not
        # ask; 5.10 looks at the byte before the table.
        return _damaged(path, "its section name table is empty", words="empty section name table")
    if content[table.offset + table.size - 1] != 0:
        return _damaged(path, "its section name table does not end in a NUL")
    first = sections[0]
    if first.type != "SHT_NULL" or first.size or first.address:
        return _damaged(path, "its section 0 is not empty")
    for section in sections[1:]:
        if section.type in ("SHT_NULL", "SHT_NOBITS"):
            continue
        shown = section.name or str(section.index)
        if section.type == "SHT_SYMTAB" and not 0 < section.link < len(sections):
            return _damaged(path, f"section {shown} has no string table")
        if section.offset + section.size > length:
            return _truncated(path, f"section {shown} lies beyond its end")
        if section.alloc and section.name_offset >= table.size:
            return _damaged(path, f"section {section.index} has no name")
    nameless = next((s for s in sections if s.name_offset >= table.size), None)
    if nameless is not None:
        # Of sections that are not loaded the loader reads the name all the same, wherever that is.
        return _damaged(path, f"section {nameless.index} has its name outside the file's", known=False)
    if table.type != "SHT_STRTAB":
        # 6.12 looks at it, not 6.1.
        said = "Invalid ELF section name table type"
        return _damaged(path, "its section name table is no string table", words=said)
    return None


def module_flaw(sections: Sequence[Section], path: Path) -> DamagedModule | None:
    """Whether there are symbols, and the section that makes an object a module."""
    if not any(s.type == "SHT_SYMTAB" for s in sections[1:]):
        return DamagedModule(
            "KS410",
            f"{path} has no symbols",
            cause="it was stripped of what the kernel's loader needs",
            fix="build again; to make it smaller use `strip --strip-debug`",
        )
    if not any(s.alloc and s.name == THIS_MODULE for s in sections[1:]):
        return DamagedModule(
            "KS409",
            f"{path} is an object file, not a module",
            cause=f"it has no section {THIS_MODULE}, which the last step of a build adds",
            fix="give the .ko beside it, or `kscaffold build`",
        )
    return None


def _truncated(path: Path, cause: str) -> DamagedModule:
    return DamagedModule("KS405", f"{path} is truncated", cause=cause, fix=_REBUILD)


def _damaged(path: Path, cause: str, known: bool = True, words: str | None = None) -> DamagedModule:
    """`known`: whether it is known what the kernel does with it."""
    refusal = ("elf", "ENOEXEC") if known else None
    return DamagedModule(
        "KS406", f"{path} is damaged", cause=cause, fix=_REBUILD, refusal=refusal, words=words
    )
