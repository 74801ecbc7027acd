"""Stage `elf`: is the file a module, and one for this kernel's machine?

Source: elf_validity_cache_copy() in kernel/module/main.c (6.4 and later; elf_validity_check() before).
What every kernel checks, `validity` has checked when it read the file: here is what only some check.
"""

from collections.abc import Iterator

from kscaffold.elf.validity import THIS_MODULE
from kscaffold.module.predict import corruption
from kscaffold.module.predict.finding import REBUILD, Finding, foreign_fix
from kscaffold.module.predict.question import Question


def findings(question: Question) -> list[Finding]:
    """What this kernel's checks of the file will refuse."""
    return [
        *_machine(question),
        *_doubled_sections(question),
        *_string_table(question),
        *_struct_size(question),
        *corruption.findings("elf", question),
    ]


def _machine(question: Question) -> Iterator[Finding]:
    ko, kernel = question.ko, question.kernel
    if ko.arch != kernel.arch:
        message = f"it is for {ko.arch}, the kernel is {kernel.arch}"
        yield Finding("KS407", "error", "elf", message, foreign_fix(ko.arch), "ENOEXEC")


def _doubled_sections(question: Question) -> Iterator[Finding]:
    kernel = question.kernel
    if not kernel.since_6_4:
        return
    held = [s for s in question.ko.sections[1:] if s.type not in ("SHT_NULL", "SHT_NOBITS")]
    names = [s.name for s in held]
    tables = sum(s.type == "SHT_SYMTAB" for s in held)
    if names.count(".modinfo") > 1 or names.count(THIS_MODULE) != 1 or tables != 1:
        message = f"{kernel.name} wants one symbol table, one .modinfo and one {THIS_MODULE}"
        yield Finding("KS442", "error", "elf", message, REBUILD, "ENOEXEC")


def _string_table(question: Question) -> Iterator[Finding]:
    sections = question.ko.sections
    symbols = next(s for s in sections if s.type == "SHT_SYMTAB")
    in_strings = sections[symbols.link].type == "SHT_STRTAB"
    if not in_strings and question.kernel.says("Invalid ELF symbol string table type"):
        message = "the names of its symbols are in no string table"
        yield Finding("KS406", "error", "elf", message, REBUILD, "ENOEXEC")


def _struct_size(question: Question) -> Iterator[Finding]:
    ko, kernel = question.ko, question.kernel
    if kernel.struct_size in (None, ko.struct_size) or ko.arch != kernel.arch:
        return
    message = (
        f"its struct module has {ko.struct_size} bytes, that of {kernel.name} {kernel.struct_size}: "
        "it was built with another configuration"
    )
    fix = question.build_for_kernel
    if kernel.since_6_4:
        yield Finding("KS421", "error", "elf", message, fix, "ENOEXEC")
    else:
        yield Finding("KS421", "warn", "elf", message, fix)
