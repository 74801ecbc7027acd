"""Stage `relocate`: can the kernel write the addresses into the module's code?

Source: apply_relocations() in kernel/module/main.c, apply_relocate_add() in arch/x86/kernel/module.c.
"""

from collections.abc import Iterator, Mapping

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.elf.model import Flaw, Relocations
from kscaffold.elf.relocations import UNRELOCATED
from kscaffold.module.predict.finding import REBUILD, UNSURE, Finding
from kscaffold.module.predict.question import Question
from kscaffold.records import dataclass

_NO_FLAGS = "build it through Kbuild, with no flags like -fPIC or -mcmodel of its own"


@dataclass(frozen=True, slots=True)
class _Row:
    """How a finding names a flaw of a section's relocations; `message` follows the section's name."""

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
    ko, architecture = question.ko, table.by_uname(question.ko.arch)
    if architecture is None or question.kernel.arch != ko.arch:
        return []
    sections = ((r, ko.sections[r.target].name) for r in ko.relocations)
    found = (f for r, name in sections if name not in UNRELOCATED for f in _section(r, name, architecture))
    return [first] if (first := next(found, None)) else []


def _section(relocations: Relocations, name: str, architecture: Architecture) -> Iterator[Finding]:
    if relocations.flaw:
        row = _FLAWS[relocations.flaw]
        message = f"{name or relocations.target} {row.message}"
        yield Finding(row.code, "error", "relocate", message, row.fix, row.errno)
        return
    strange = sorted(relocations.types - architecture.loader_relocations)
    if strange or relocations.addend != architecture.rela:
        addends = "with" if relocations.addend else "without"
        is_kind = relocations.addend == architecture.rela
        what = f"of type {strange[0]}" if is_kind else f"{addends} addends"
        errno = architecture.unknown_relocation if is_kind else "ENOEXEC"
        message = f"{name} has relocations {what}, which the loader does not know"
        yield Finding("KS432", "error", "relocate", message, _NO_FLAGS, errno)
