"""Stage `relocate`: can the kernel write the addresses into the module's code?

Source: apply_relocations() in kernel/module/main.c, apply_relocate_add() in arch/x86/kernel/module.c.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kscaffold.elf.model import Flaw, Relocations
from kscaffold.elf.relocations import UNRELOCATED
from kscaffold.module.predict.finding import REBUILD, UNSURE, Finding
from kscaffold.module.predict.question import Question

# What a kernel's apply_relocate_add() knows: NONE, 64, PC32, PLT32, 32, 32S, PC64 on x86-64. Other
# architectures take many more, and their compilers emit no others.
_KNOWN = {"x86_64": frozenset({0, 1, 2, 4, 10, 11, 24})}
_NO_FLAGS = "build it through Kbuild, with no flags like -fPIC or -mcmodel of its own"


@dataclass(frozen=True, slots=True)
class _Row:
    """What a flaw of a section's relocations is told as; `message` behind the section's name."""

    code: str
    message: str
    fix: str
    errno: str


_DAMAGES = "the kernel would damage itself"
_FLAWS: Mapping[Flaw, _Row] = {
    "far": _Row(
        "KS432", "has an address in 32 bits, which no address of the kernel fits", _NO_FLAGS, "ENOEXEC"
    ),
    "taken": _Row("KS460", "has a relocation where there is something already", REBUILD, "ENOEXEC"),
    "overlaps": _Row("KS460", f"has two relocations in one place: {_DAMAGES}", REBUILD, UNSURE),
    "outside": _Row("KS460", f"has a relocation beyond its end: {_DAMAGES}", REBUILD, UNSURE),
}


def findings(question: Question) -> list[Finding]:
    """The first section whose relocations the loader of this architecture refuses."""
    ko, known = question.ko, _KNOWN.get(question.kernel.arch)
    if known is None or question.kernel.arch != ko.arch:
        return []
    sections = ((r, ko.sections[r.target].name) for r in ko.relocations)
    found = (f for r, name in sections if name not in UNRELOCATED for f in _section(r, name, known))
    return [first] if (first := next(found, None)) else []


def _section(relocations: Relocations, name: str, known: frozenset[int]) -> Iterator[Finding]:
    if relocations.flaw:
        row = _FLAWS[relocations.flaw]
        message = f"{name or relocations.target} {row.message}"
        yield Finding(row.code, "error", "relocate", message, row.fix, row.errno)
        return
    strange = sorted(relocations.types - known)
    if strange or not relocations.addend:
        what = f"of type {strange[0]}" if relocations.addend else "without addends"
        message = f"{name} has relocations {what}, which the loader does not know"
        yield Finding("KS432", "error", "relocate", message, _NO_FLAGS, "ENOEXEC")
