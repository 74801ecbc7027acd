"""What a load has to do for one .ko: its sections' places, its symbols' owners, its relocations, its
parameters. Facts of files, held against what the kernel said of the same.
"""

from collections.abc import Mapping
from pathlib import Path

from kscaffold.arch import table
from kscaffold.elf.model import SHF_EXECINSTR, SHF_WRITE, KoFile, Section
from kscaffold.explain.stages.observe import Observed
from kscaffold.instrument.plan import PREFIX  # that of failing calls is as long
from kscaffold.kernel.facts import KernelFacts, read_facts
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.symvers import Symvers, beside
from kscaffold.load.plan import HELPERS
from kscaffold.module.arguments import Parameters
from kscaffold.records import dataclass

# The loader takes these from the file and does not keep them (rewrite_section_headers).
_NOT_KEPT = frozenset({".modinfo", "__versions", "__version_ext_crcs", "__version_ext_names"})
# What the loader marks SHF_RO_AFTER_INIT (layout_and_allocate).
_RO_AFTER_INIT = frozenset({".data..ro_after_init", "__jump_table"})
# The kinds of memory, in the order in which layout_sections() fills them.
MEMORY = (
    "text",
    "rodata",
    "rodata after init",
    "data",
    "per-cpu",
    "init text",
    "init rodata",
    "init data",
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A section that is copied to memory. `size` in bytes; `address`: the kernel's own word, None where it
    did not say.
    """

    name: str
    size: int
    memory: str
    address: int | None


@dataclass(frozen=True, slots=True)
class Import:
    """A symbol it needs. `provider`: `vmlinux`, a module, or None where nobody known has it. `crc`: what
    the .ko was built against, `kernel_crc` what the provider has; None where there is none. `is_hook`: a
    helper of an instrument's answers for it: `symbol` is what the source asks for, or the compiler made it.
    """

    symbol: str
    weak: bool
    provider: str | None
    gpl: bool
    namespace: str
    crc: int | None
    kernel_crc: int | None
    is_hook: bool = False


@dataclass(frozen=True, slots=True)
class Relocated:
    """A section's relocations, by the name of their type."""

    section: str
    count: int
    types: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter. `given`: the text it was asked to be, None where it was not asked for; `value`: what
    /sys/module/NAME/parameters says it is, None where that says nothing.
    """

    name: str
    type: str | None
    description: str | None
    given: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One .ko, taken apart for one kernel. `kernel`: what is known of that kernel; None: nothing."""

    ko: KoFile
    kernel: KernelFacts | None
    sections: tuple[Placed, ...]
    imports: tuple[Import, ...]
    relocations: tuple[Relocated, ...]
    settings: tuple[ParameterValue, ...]
    ignored: tuple[str, ...]

    @property
    def symbols(self) -> int:
        """How many entries its symbol table has, without the first, empty one."""
        size = 24 if self.ko.bits == 64 else 16
        return next((s.size // size - 1 for s in self.ko.sections if s.type == "SHT_SYMTAB"), 0)

    def memory(self) -> list[tuple[str, int, int]]:
        """For each kind of memory that is needed: its name, how many sections, how many bytes."""
        found = []
        for kind in MEMORY:
            own = [s for s in self.sections if s.memory == kind]
            if own:
                found.append((kind, len(own), sum(s.size for s in own)))
        return found


def dissect(ko: KoFile, kernel: Kernel | None, parameters: Parameters, observed: Observed) -> Anatomy:
    """Take a .ko apart for `kernel`; `parameters` as they were given."""
    facts = read_facts(kernel) if kernel else None
    given = _given(parameters)
    known = {p.name.replace("-", "_") for p in ko.parameters}
    return Anatomy(
        ko=ko,
        kernel=facts,
        sections=tuple(_placed(ko, observed)),
        imports=tuple(_imports(ko, facts.exports if facts else None, beside(ko.path))),
        relocations=tuple(_relocated(ko)),
        settings=tuple(
            ParameterValue(
                p.name,
                p.type,
                p.description,
                given.get(p.name.replace("-", "_")),
                observed.parameters.get(p.name),
            )
            for p in ko.parameters
        ),
        ignored=tuple(name for name in given if name not in known),
    )


def memory_of(section: Section) -> str | None:
    """The kind of memory that the loader puts a section into; None where it keeps no copy of it.

    As layout_sections() does, and module_init_section() by name.
    """
    if not section.alloc or not section.size or section.name in _NOT_KEPT:
        return None
    if section.name == ".data..percpu":
        return "per-cpu"
    init = "init " if section.name.startswith(".init") else ""
    if section.flags & SHF_EXECINSTR:
        return f"{init}text"
    if section.name in _RO_AFTER_INIT:
        return "rodata after init"
    return f"{init}data" if section.flags & SHF_WRITE else f"{init}rodata"


def _placed(ko: KoFile, observed: Observed) -> list[Placed]:
    found = [
        Placed(s.name, s.size, memory, observed.sections.get(s.name))
        for s in ko.sections
        if (memory := memory_of(s)) is not None
    ]
    return sorted(found, key=lambda s: MEMORY.index(s.memory))


def _imports(ko: KoFile, kernel: Symvers | None, project: Symvers | None) -> list[Import]:
    weak, versions = set(ko.weak_imports), ko.versions or {}
    found = []
    for symbol in ko.undefined:
        own = project.find_export(symbol) if project else None
        exported = (kernel.find_export(symbol) if kernel else None) or own
        is_hook = exported is not None and exported.module in HELPERS
        found.append(
            Import(
                symbol=symbol[len(PREFIX) :] if is_hook else symbol,
                weak=symbol in weak,
                provider=(exported.module or "vmlinux") if exported else None,
                gpl=exported.gpl if exported else False,
                namespace=exported.namespace if exported else "",
                crc=versions.get(symbol),
                kernel_crc=exported.crc if exported else None,
                is_hook=is_hook,
            )
        )
    return found


def _relocated(ko: KoFile) -> list[Relocated]:
    architecture = table.by_uname(ko.arch)
    names = architecture.relocations if architecture else {}
    found = []
    for section in ko.relocations:
        target = ko.sections[section.target]
        if target.name in _NOT_KEPT:
            continue
        types = {names.get(t, f"type {t}"): n for t, n in sorted(section.counts.items())}
        found.append(Relocated(target.name, section.count, types))
    return found


def _given(parameters: Parameters) -> dict[str, str]:
    """The given values, by the parameter's name as the kernel compares it; of one name the last counts."""
    found = {}
    for word in parameters.words:
        name, equals, value = word.partition("=")
        if name == "--" and not equals:
            break
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        found[name.strip('"').replace("-", "_")] = value
    return found


def size_of(path: Path) -> int | None:
    """The file's size in bytes, None where it can't be had."""
    try:
        return path.stat().st_size
    except OSError:
        return None
