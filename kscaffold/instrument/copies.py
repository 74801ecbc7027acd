"""Put instrumented copies in the place of a command's modules: what `--sanitize`, `--faults` and `--coverage`
load.
"""

from collections.abc import Mapping
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.instrument import elf, fault_calls, plan
from kscaffold.instrument.compile import Compiled, Recipe, compiled, copies_of
from kscaffold.instrument.helper_module import SOURCES, Helper, helper
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.plan import LoadPlan
from kscaffold.load.request import Instruments
from kscaffold.module.arguments import NO_PARAMETERS
from kscaffold.progress import Progress
from kscaffold.project.mirror import sweep_mirrors
from kscaffold.records import dataclass, replace

_NO_SOURCE = (
    "accesses of its own code (a write behind an object or into a freed one is seen when the object goes, "
    "without its line), its global variables, undefined behaviour; there is no source beside it"
)
_NO_COUNT = (
    "sleeping under rcu_read_lock() or preempt_disable(), "
    "which this kernel does not count (CONFIG_PREEMPT_COUNT)"
)
_NO_UNLOCKS = "spinlocks: this kernel's modules unlock them without a call"


@dataclass(frozen=True, slots=True)
class InstrumentedPlan:
    """The copies that are loaded in the place of a command's modules.

    `plan`: what to load, the helpers first. `originals`: the user's .ko of each copy, by the copy's path.
    `unseen`: what the sanitizer can't look at, by the module's file, or by the kernel where it is so in all
    modules. `compiled`: the .ko that each of the user's was compiled to, by path, where it was.
    """

    plan: LoadPlan
    originals: Mapping[Path, ModuleFile]
    unseen: Mapping[str, str]
    compiled: Mapping[Path, Compiled]


def instrumented(
    wanted: LoadPlan, kernel: Kernel, asked: Instruments, progress: Progress
) -> InstrumentedPlan:
    """The same plan with instrumented copies, built in a directory of their own; the user's files stay as
    they are.

    A module whose sources are beside it is compiled again where an instrument needs that; of any other the
    imports are renamed, and no more is seen than they show. Raises KscaffoldError: as `helper`, and KS732
    where a copy can't be built.
    """
    helpers = {name: helper(name, kernel, progress) for name in _helpers_of(asked)}
    recipe = _recipe(asked)
    place = copies_of(wanted.home, kernel, recipe.instrument)
    sweep_mirrors(place.parent, place, wanted.home)
    needed = [n for ns in wanted.needs.values() for n in ns if not _is_kernels(n.path, kernel)]
    originals = {ko.path: ko for ko in (*wanted.kos, *needed)}
    built = (
        compiled(list(originals), recipe, place, wanted.home, kernel, progress)
        if recipe.parts
        else {ko: Compiled(ko, False) for ko in originals}
    )
    loaded = place / f"loaded-{'-'.join(helpers)}"
    paths.make_own(loaded)
    copies: dict[Path, ModuleFile] = {}
    unseen = {} if _counts_preemption(kernel) or not asked.sanitize else {kernel.release: _NO_COUNT}
    symvers = [one.symvers for one in helpers.values()]
    for ko, one in built.items():
        copy = loaded / f"{ko.name.partition('.ko')[0]}.ko"
        missing = _copy(one, copy, helpers, kernel)
        copies[ko] = ModuleFile.open(copy, originals[ko].home, originals[ko].beside)
        if missing and asked.sanitize:
            unseen[ko.name] = missing
        beside = one.ko.parent / "Module.symvers"
        symvers += [reader.read_text(beside)] if beside.is_file() else []
    if copies:
        # Whoever predicts what the kernel will say of the copies finds their new imports here.
        write_whole(loaded / "Module.symvers", "".join(dict.fromkeys(symvers)))
    changed = replace(
        wanted,
        kos=tuple(copies[ko.path] for ko in wanted.kos),
        needs={copies[ko].path: tuple(copies.get(n.path, n) for n in ns) for ko, ns in wanted.needs.items()},
        first=tuple((ko, NO_PARAMETERS) for ko in _helper_files(helpers, loaded)),
    )
    mine = {copy.path: originals[ko] for ko, copy in copies.items()}
    return InstrumentedPlan(changed, mine, unseen, {ko: one for ko, one in built.items() if one.instrumented})


def _helpers_of(asked: Instruments) -> list[str]:
    """The helpers in the order in which they are loaded. What a failing call leaves behind, the sanitizer's
    hooks of the imports tell.
    """
    wanted = {
        "sanitize": asked.sanitize or bool(asked.faults),
        "faults": bool(asked.faults),
        "coverage": asked.coverage,
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _recipe(asked: Instruments) -> Recipe:
    """How the copies are compiled; without flags where their imports are renamed only."""
    parts = [*(["sanitize"] if asked.sanitize else []), *(["coverage"] if asked.coverage else [])]
    return Recipe("-".join(parts) or "imports", SOURCES / "sanitize_module.h", tuple(parts))


def _helper_files(helpers: Mapping[str, Helper], place: Path) -> list[ModuleFile]:
    """The helpers' own files. The calls that the failing calls' helper lets through go on to the sanitizer's
    hooks: a copy of it takes these in the place of the kernel's functions.
    """
    files = {name: one.ko for name, one in helpers.items()}
    if "faults" in helpers:
        data = reader.read_bytes(files["faults"])
        hooks = helpers["sanitize"].crcs
        passed = [n for n in elf.undefined_symbols(data) if n in fault_calls.failures()]
        names = plan.renames(passed, hooks, hears_unlocks=True)
        files["faults"] = place / "ks_faults.ko"
        write_whole(files["faults"], elf.rename_undefined(data, names, hooks))
    return [ModuleFile.open(ko) for ko in files.values()]


def _is_kernels(ko: Path, kernel: Kernel) -> bool:
    """Whether a module that another one needs came with the kernel: its bugs are not the user's."""
    return bool(kernel.modules and ko.is_relative_to(kernel.modules)) or ko.is_relative_to(paths.cache())


def _copy(built: Compiled, copy: Path, helpers: Mapping[str, Helper], kernel: Kernel) -> str | None:
    """Write the copy that is loaded; returns what the sanitizer can't look at in it."""
    ko = ModuleFile.open(built.ko)
    data = ko.read_bytes()
    crcs = {name: crc for one in helpers.values() for name, crc in one.crcs.items()}
    unlocks = built.instrumented or plan.unlocks_are_calls(_exports(kernel))
    imports = elf.undefined_symbols(data)
    names = plan.renames(imports, crcs, hears_unlocks=unlocks)
    if "faults" in helpers:
        names |= plan.renames(imports, crcs, hears_unlocks=True, prefix=fault_calls.PREFIX)
    unknown = [n for n in plan.compilers_own(imports) if n not in names and n not in _exports(kernel)]
    if unknown:
        raise KscaffoldError(
            "KS732",
            f"kscaffold's sanitizer has no {', '.join(unknown)}",
            cause=f"the compiler, or the headers of {kernel.name}, asks for it in {built.ko.name}",
            fix="kscaffold run --sanitize with another kernel (--kernel) or compiler (CC=)",
        )
    write_whole(copy, elf.rename_undefined(data, names, crcs))
    missing = [*([] if built.instrumented else [_NO_SOURCE]), *([] if unlocks else [_NO_UNLOCKS])]
    return "; ".join(missing) or None


def _counts_preemption(kernel: Kernel) -> bool:
    config = (kernel.build or Path()) / "include/config/auto.conf"
    return config.is_file() and "\nCONFIG_PREEMPT_COUNT=y\n" in reader.read_text(config)


def _exports(kernel: Kernel) -> frozenset[str]:
    if kernel.build is None:
        return frozenset()
    lines = reader.read_text(kernel.build / "Module.symvers").splitlines()
    return frozenset(words[1] for line in lines if len(words := line.split("\t", 2)) > 1)
