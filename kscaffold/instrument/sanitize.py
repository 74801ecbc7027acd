"""`run --sanitize`: put instrumented copies in the place of a run's modules, and read what they found."""

from collections.abc import Mapping
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.instrument import elf, plan
from kscaffold.instrument.compile import Compiled, Recipe, compiled, copies_of
from kscaffold.instrument.helper_module import SOURCES, Helper, helper
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.plan import LoadPlan
from kscaffold.progress import Progress
from kscaffold.project.mirror import sweep_mirrors
from kscaffold.records import dataclass, replace

NAME = "sanitize"
_RECIPE = Recipe(NAME, SOURCES / "sanitize_module.h", plan.compiler_flags)
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

    `plan`: what to load, the helper first. `originals`: the user's .ko of each copy, by the copy's path.
    `unseen`: what can't be looked at, by the module's file, or by the kernel where it is so in all modules.
    """

    plan: LoadPlan
    originals: Mapping[Path, ModuleFile]
    unseen: Mapping[str, str]


def sanitized(plan: LoadPlan, kernel: Kernel, progress: Progress) -> InstrumentedPlan:
    """The plan with instrumented copies of its modules, built in a directory of their own; the user's files
    stay as they are.

    A module whose sources are beside it is compiled again for it; of any other the imports are renamed, and
    no more is seen than they show. Raises KscaffoldError: as `helper`, and KS732 where the copy can't be
    built.
    """
    ours = helper(NAME, kernel, progress)
    place = copies_of(plan.home, kernel, _RECIPE)
    sweep_mirrors(place.parent, place, plan.home)
    needed = [n for ns in plan.needs.values() for n in ns if not _is_kernels(n.path, kernel)]
    originals = {ko.path: ko for ko in (*plan.kos, *needed)}
    built = compiled(list(originals), _RECIPE, place, kernel, progress)
    copies: dict[Path, ModuleFile] = {}
    unseen = {} if _counts_preemption(kernel) else {kernel.release: _NO_COUNT}
    symvers = [ours.symvers]
    for ko, one in built.items():
        copy = place / "loaded" / f"{ko.name.partition('.ko')[0]}.ko"
        missing = _copy(one, copy, ours, kernel)
        copies[ko] = ModuleFile.open(copy)
        if missing:
            unseen[ko.name] = missing
        beside = one.ko.parent / "Module.symvers"
        symvers += [reader.read_text(beside)] if beside.is_file() else []
    if copies:
        # Whoever predicts what the kernel will say of the copies finds their new imports here.
        write_whole(place / "loaded" / "Module.symvers", "".join(dict.fromkeys(symvers)))
    changed = replace(
        plan,
        kos=tuple(copies[ko.path] for ko in plan.kos),
        needs={copies[ko].path: tuple(copies.get(n.path, n) for n in ns) for ko, ns in plan.needs.items()},
        first=(ModuleFile.open(ours.ko),),
    )
    return InstrumentedPlan(changed, {copy.path: originals[ko] for ko, copy in copies.items()}, unseen)


def _is_kernels(ko: Path, kernel: Kernel) -> bool:
    """Whether a module that another one needs came with the kernel: its bugs are not the user's."""
    return bool(kernel.modules and ko.is_relative_to(kernel.modules)) or ko.is_relative_to(paths.cache())


def _copy(built: Compiled, copy: Path, ours: Helper, kernel: Kernel) -> str | None:
    """Write the copy that is loaded; returns what can't be looked at in it."""
    ko = ModuleFile.open(built.ko)
    data = ko.read_bytes()
    unlocks = built.instrumented or plan.unlocks_are_calls(_exports(kernel))
    imports = elf.undefined_symbols(data)
    names = plan.renames(imports, ours.crcs, hears_unlocks=unlocks)
    unknown = [n for n in plan.compilers_own(imports) if n not in names and n not in _exports(kernel)]
    if unknown:
        raise KscaffoldError(
            "KS732",
            f"kscaffold's sanitizer has no {', '.join(unknown)}",
            cause=f"the compiler, or the headers of {kernel.release}, asks for it in {built.ko.name}",
            fix="kscaffold run --sanitize with another kernel (--kernel) or compiler (CC=)",
        )
    paths.make_own(copy.parent)
    write_whole(copy, elf.rename_undefined(data, names, ours.crcs))
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
