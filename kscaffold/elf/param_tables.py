"""Tables of a module that the kernel follows without a question: what must be in each of their places."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from kscaffold.arch.architecture import LoaderWrites
from kscaffold.elf.model import SHF_EXECINSTR, Section
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """`entry`: its bytes. `places`: where in one a relocation must be, of a whole pointer or of a 32-bit
    distance (`holds`). `code`: whether it leads to code, which the kernel then changes.
    """

    entry: int
    places: tuple[int, ...]
    holds: Literal["pointer", "distance"]
    code: bool = False


_SITES = Table(4, (0,), "distance", code=True)
# struct kernel_param: name and ops; struct kernel_symbol of x86-64: value and name, relative to themselves.
TABLES: Mapping[str, Table] = {
    "__param": Table(40, (0, 16), "pointer"),
    "__ksymtab": Table(12, (0, 4), "distance"),
    "__ksymtab_gpl": Table(12, (0, 4), "distance"),
    ".return_sites": _SITES,
    ".retpoline_sites": _SITES,
}


def bare(
    table: Table,
    size: int,
    entries: Iterable[tuple[int, int, int, int]],
    sections: Sequence[Section],
    writes: LoaderWrites,
) -> bool:
    """Whether a table of x86-64 of `size` bytes has a place that no relocation fills, or one that leads to no
    code where code is meant. `entries`: place, section, offset there and type of each.
    """
    wanted_kind = writes.pointer if table.holds == "pointer" else writes.distance
    filled = set()
    for place, shndx, offset, kind in entries:
        if table.code:
            home = sections[shndx] if 0 < shndx < len(sections) else None
            if home is None or not home.flags & SHF_EXECINSTR or not 0 <= offset < home.size:
                return True
        if kind == wanted_kind:
            filled.add(place)
    wanted = {start + place for start in range(0, size, table.entry) for place in table.places}
    return bool(size % table.entry or wanted - filled)
