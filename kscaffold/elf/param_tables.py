"""Tables of a module that the kernel follows without a question: what must be in each of their places."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kscaffold.elf.model import SHF_EXECINSTR, Section


@dataclass(frozen=True, slots=True)
class Table:
    """`entry`: its bytes. `places`: where in one a relocation of this `kind` must be. `code`: whether it
    leads to code, which the kernel then changes.
    """

    entry: int
    places: tuple[int, ...]
    kind: int
    code: bool = False


_64, _PC32 = 1, 2
_SITES = Table(4, (0,), _PC32, code=True)
# struct kernel_param: name and ops; struct kernel_symbol of x86-64: value and name, relative to themselves.
TABLES: Mapping[str, Table] = {
    "__param": Table(40, (0, 16), _64),
    "__ksymtab": Table(12, (0, 4), _PC32),
    "__ksymtab_gpl": Table(12, (0, 4), _PC32),
    ".return_sites": _SITES,
    ".retpoline_sites": _SITES,
}


def bare(
    table: Table, size: int, entries: Iterable[tuple[int, int, int, int]], sections: Sequence[Section]
) -> bool:
    """Whether a table of x86-64 of `size` bytes has a place that no relocation fills, or one that leads to no
    code where code is meant. `entries`: place, section, offset there and type of each.
    """
    filled = set()
    for place, shndx, offset, kind in entries:
        if table.code:
            home = sections[shndx] if 0 < shndx < len(sections) else None
            if home is None or not home.flags & SHF_EXECINSTR or not 0 <= offset < home.size:
                return True
        if kind == table.kind:
            filled.add(place)
    wanted = {start + place for start in range(0, size, table.entry) for place in table.places}
    return bool(size % table.entry or wanted - filled)
