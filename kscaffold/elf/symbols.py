"""What the symbol table of a module means: its init and exit, what it needs, what it offers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from kscaffold.elf.model import Export, Function, Section
from kscaffold.records import dataclass

_SHN_UNDEF, _SHN_COMMON = 0, 0xFFF2
# SHN_ABS, SHN_COMMON, SHN_LIVEPATCH: what simplify_symbols() knows.
_RESERVED = frozenset({0xFFF1, 0xFFF2, 0xFF20})
_STB_WEAK = 2
_STT_FUNC = 2
_EXPORT = "__ksymtab_"
_NAMESPACE = "__kstrtabns_"
_FLAGS = "__flags_"
_GPL_ONLY = 1  # KSYM_FLAG_GPL_ONLY


@dataclass(frozen=True, slots=True)
class Symbol:
    """One entry of the symbol table. `shndx` is the section's number, or one of the reserved ones.

    `misnamed`: its name lies outside the string table.
    """

    index: int
    name: str
    value: int
    shndx: int
    info: int
    misnamed: bool = False


def function(
    ends: Sequence[Symbol], symbols: Sequence[Symbol], alias: str, sections: Sequence[Section]
) -> Function | None:
    """The function behind `init_module` or `cleanup_module` (`alias`), by its own name.

    `ends` are the symbols that struct module points at: a function that merely has such a name does not
    run. module_init(fn) makes `init_module` an alias of fn; the other function at the same place is fn. Where
    there is none, the function itself is called so.
    """
    # Under Clang's control flow integrity the pointer holds a jump table's entry: from Linux kernel commit
    # cf68fffb66d6 "add support for Clang CFI" (in v5.13) until 89245600941e "cfi: Switch to -fsanitize=kcfi"
    # (in v6.1).
    found = next((s for s in ends if s.name in (alias, f"{alias}.cfi_jt")), None)
    if found is None:
        return None
    if found.shndx == _SHN_UNDEF:
        return Function(found.name, None, found.name)
    own = next(
        (
            s.name
            for s in symbols
            if s.shndx == found.shndx
            and s.value == found.value
            and s.info & 0xF == _STT_FUNC
            and s.name
            and s.name != found.name
        ),
        alias,
    )
    # find_kallsyms_symbol() chooses among the symbols in this way, and passes over mapping symbols.
    here = (s.name for s in symbols if s.shndx == found.shndx and s.value == found.value)
    listed = next((name for name in here if name and not name.startswith((".L", "$"))), found.name)
    # ThinLTO renames what it moves: fn.llvm.123.
    own = own.partition(".llvm.")[0]
    section = sections[found.shndx].name if found.shndx < len(sections) else None
    return Function(own, section, listed)


def undefined(symbols: Iterable[Symbol]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The undefined symbols in the table's order, in which the loader resolves them: all, and the weak
    ones of them.
    """
    # The loader ignores the table's name on x86 (ignore_undef_symbol), and nobody else emits it.
    found = [s for s in symbols if s.shndx == _SHN_UNDEF and s.name != "_GLOBAL_OFFSET_TABLE_"]
    needed = {s.name for s in found if s.info >> 4 != _STB_WEAK}  # damage can give several one name
    return tuple(s.name for s in found), tuple(s.name for s in found if s.name not in needed)


def commons(symbols: Iterable[Symbol]) -> tuple[str, ...]:
    """The common symbols, which the loader refuses."""
    return tuple(s.name for s in symbols if s.shndx == _SHN_COMMON and not s.name.startswith("__gnu_lto"))


def misplaced(symbols: Iterable[Symbol], count: int) -> tuple[str, ...]:
    """The symbols whose section is none of the file's `count`; the reserved numbers are no sections."""
    return tuple(s.name for s in symbols if s.shndx >= count and s.shndx not in _RESERVED)


def exports(
    symbols: Sequence[Symbol],
    sections: Sequence[Section],
    string: Callable[[Section, int], str],
    byte: Callable[[Section, int], int],
) -> tuple[Export, ...]:
    """What the module exports. `string(section, offset)` and `byte(section, offset)` read the file.

    An export is GPL only where it stands in the GPL table, or in 7.x, which has one table, by its flags.
    """
    tables = {s.index: s.name for s in sections if s.name in ("__ksymtab", "__ksymtab_gpl")}
    if not tables:
        return ()
    crcs = {s.name for s in sections}
    inside = [s for s in symbols if 0 < s.shndx < len(sections)]
    namespaces = {
        s.name.removeprefix(_NAMESPACE): string(sections[s.shndx], s.value)
        for s in inside
        if s.name.startswith(_NAMESPACE)
    }
    flags = {
        s.name.removeprefix(_FLAGS): byte(sections[s.shndx], s.value)
        for s in inside
        if s.name.startswith(_FLAGS) and sections[s.shndx].name == "__kflagstab"
    }
    found = []
    for symbol in symbols:
        if symbol.shndx in tables and symbol.name.startswith(_EXPORT):
            name, table = symbol.name.removeprefix(_EXPORT), tables[symbol.shndx]
            gpl = table == "__ksymtab_gpl" or bool(flags.get(name, 0) & _GPL_ONLY)
            has_crc = table.replace("ksym", "kcrc") in crcs
            found.append(Export(name, gpl, namespaces.get(name, ""), has_crc))
    return tuple(found)


def parameter_names(symbols: Iterable[Symbol], sections: Sequence[Section]) -> tuple[str, ...]:
    """The parameters that are there, whether .modinfo tells of them or not: `__param_NAME` in `__param`."""
    table = next((s.index for s in sections if s.name == "__param"), None)
    if table is None:
        return ()
    return tuple(
        s.name.removeprefix("__param_") for s in symbols if s.shndx == table and s.name.startswith("__param_")
    )


def doubled(
    symbols: Iterable[Symbol], sections: Sequence[Section], mode: Callable[[Section, int], int]
) -> tuple[str, ...]:
    """The parameters that are there twice with a file in sysfs: each of a module's files may have a static
    one of a name. `mode(section, offset)` reads the permissions of one.
    """
    table = next((s for s in sections if s.name == "__param" and s.type == "SHT_PROGBITS"), None)
    if table is None:
        return ()
    shown = [s for s in symbols if s.shndx == table.index and s.name.startswith("__param_")]
    times = Counter(s.name.removeprefix("__param_") for s in shown if mode(table, s.value))
    return tuple(name for name, count in times.items() if count > 1)
