"""What binds a module to a kernel: the symbols it needs, those it offers, its relocations."""

import contextlib
from collections.abc import Sequence

from kscaffold.elf import kofile
from kscaffold.elf.model import Flaw, KoFile
from kscaffold.elf.modinfo import gpl_compatible
from kscaffold.elf.module_name import normalize_name
from kscaffold.elf.quick import needed_back
from kscaffold.elf.relocations import UNRELOCATED
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.facts import KernelFacts
from kscaffold.kernel.symvers import Exported, Symvers
from kscaffold.module.predict.finding import UNSURE, Finding

# What a kernel's apply_relocate_add() knows: NONE, 64, PC32, PLT32, 32, 32S, PC64 on x86-64. Other
# architectures take many more, and their compilers emit no others.
_KNOWN = {"x86_64": frozenset({0, 1, 2, 4, 10, 11, 24})}
# EXPORT_SYMBOL_FOR_MODULES() makes such namespaces (6.16 and later).
MODULE_NAMESPACE = "module:"
_REBUILD = "kscaffold clean && kscaffold build"
_NO_FLAGS = "build it through Kbuild, with no flags like -fPIC or -mcmodel of its own"
_NO_CIRCLE = "move what both need into a third module, or make one of the two"
_NAMED = 6


def symbols(ko: KoFile, facts: KernelFacts, project: Symvers | None) -> list[Finding]:
    """The symbols that can't be had. The last one of the table decides the errno, so its finding is last."""
    if facts.exports is None:
        message = f"which symbols {facts.release} exports is not known: there is no Module.symvers"
        return [Finding("KS440", "info", "symbols", message, "kscaffold kernel add", UNSURE)]
    troubles: dict[tuple[str, str], list[str]] = {}
    providers: dict[str, list[str]] = {}
    weak = set(ko.weak_imports)
    circles: dict[str, bool] = {}
    for symbol in ko.undefined:
        exported = facts.exports.find(symbol) or (project.find(symbol) if project else None)
        if exported and exported.module and exported.module != ko.name:
            providers.setdefault(exported.module, []).append(symbol)
        trouble = _trouble(ko, facts, symbol, exported)
        owner = exported.module if exported and not facts.exports.find(symbol) else None
        if owner and owner not in (facts.loaded or ()):
            if owner not in circles:
                circles[owner] = needed_back(ko.name, owner, ko.path.absolute().parent)
            trouble = ("KS462", owner) if circles[owner] else trouble
        if trouble and not (trouble[0] in ("KS425", "KS426", "KS428", "KS462") and symbol in weak):
            # Taken out and put back: the trouble met last comes last.
            troubles[trouble] = [*troubles.pop(trouble, []), symbol]
    if ko.commons:
        troubles["KS437", ""] = list(ko.commons)
    if ko.misplaced:
        troubles["KS406", ""] = list(ko.misplaced)
    found = [_told(code, owner, names, facts) for (code, owner), names in troubles.items()]
    needed = [name for name in providers if facts.loaded is None]
    if needed:
        message = f"it needs {', '.join(needed)} loaded before it"
        found.insert(0, Finding("KS426", "info", "symbols", message))
    return found


def _trouble(
    ko: KoFile, facts: KernelFacts, symbol: str, exported: Exported | None
) -> tuple[str, str] | None:
    """The code of what is wrong with one symbol, and the module or namespace it is about; as
    resolve_symbol() asks.
    """
    if exported is None:
        return "KS425", ""
    if facts.loaded is not None and exported.module and exported.module not in facts.loaded:
        return "KS426", exported.module
    if exported.gpl and not gpl_compatible(ko.license):
        return "KS428", ""
    if facts.has("MODVERSIONS") is not False and ko.versions is not None:
        crc = ko.versions.get(symbol)
        if crc is None:
            return "KS446", ""
        if crc != exported.crc:
            return "KS427", ""
    if exported.namespace and not _may_use(exported.namespace, ko):
        return "KS429", exported.namespace
    return None


def _may_use(namespace: str, ko: KoFile) -> bool:
    """verify_namespace_is_imported() of 6.16 and later: one that begins with `module:` is open to the
    modules it names, `-` being `_` and `*` at an end anything; others are open to who imports them.
    """
    if namespace in ko.infos("import_ns"):
        return True
    if not namespace.startswith(MODULE_NAMESPACE):
        return False
    name = ko.struct_name or ko.name
    patterns = namespace.removeprefix(MODULE_NAMESPACE).replace("-", "_").split(",")
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


def _told(code: str, owner: str, names: Sequence[str], facts: KernelFacts) -> Finding:
    shown = _list(names)
    if code == "KS425":
        message, fix = (
            f"{facts.release} does not export {shown}",
            "use something else, or load who exports it",
        )
        return Finding(code, "error", "symbols", message, fix, "ENOENT")
    if code == "KS426":
        message = f"{shown} is in {owner}, which is not loaded"
        return Finding(code, "error", "symbols", message, f"load {owner} first", "ENOENT")
    if code == "KS462":
        message = f"{shown} is in {owner}, which needs this module in turn: neither can be loaded first"
        return Finding(code, "error", "symbols", message, _NO_CIRCLE, "ENOENT")
    if code == "KS428":
        message = f"only GPL-compatible modules may use {shown}"
        return Finding(code, "error", "symbols", message, 'MODULE_LICENSE("GPL");', "ENOENT")
    if code == "KS427":
        message = f"built against another version of {shown} than {facts.release} has"
        return Finding(
            code, "error", "symbols", message, f"kscaffold build --kernel {facts.release}", "EINVAL"
        )
    if code == "KS446":
        # Taken with a warning until late 2025; by now also by the older stable kernels not any more.
        message = f"it has versions of its symbols, and none of {shown}"
        return Finding(code, "error", "symbols", message, _REBUILD, "EINVAL")
    if code == "KS406":
        message = f"{shown or 'a symbol without a name'} is said to be in a section that is not there"
        # A kernel that does not look for it reads where nothing is.
        errno = "ENOEXEC" if facts.says("has an invalid section index") else UNSURE
        return Finding(code, "error", "symbols", message, _REBUILD, errno)
    if code == "KS429" and owner.startswith(MODULE_NAMESPACE):
        message = f"{shown} is exported for {owner.removeprefix(MODULE_NAMESPACE)} only"
        return Finding(code, "error", "symbols", message, "use something else", "EINVAL")
    if code == "KS429":
        message, fix = (
            f"{shown} is in the namespace {owner}, which it does not import",
            f"MODULE_IMPORT_NS({owner}); (in quotes from 6.13 on)",
        )
        if facts.has("MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS"):
            return Finding(code, "warn", "symbols", message, fix)
        return Finding(code, "error", "symbols", message, fix, "EINVAL")
    message = f"{shown} is a common symbol, which the loader does not take"
    return Finding("KS437", "error", "symbols", message, "build it with -fno-common", "ENOEXEC")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def relocations(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    """The relocations that this architecture's loader does not know."""
    known = _KNOWN.get(facts.arch)
    if known is None or facts.arch != ko.arch:
        return []
    for section in ko.relocations:
        where = ko.sections[section.target].name
        if where in UNRELOCATED:
            continue
        if section.flaw:
            return [_stumble(section.flaw, where or str(section.target))]
        strange = sorted(section.types - known)
        if strange or not section.addend:
            what = f"of type {strange[0]}" if section.addend else "without addends"
            message = f"{where} has relocations {what}, which the loader does not know"
            return [Finding("KS432", "error", "relocate", message, _NO_FLAGS, "ENOEXEC")]
    return []


def _stumble(flaw: Flaw, where: str) -> Finding:
    if flaw == "far":
        message = f"{where} has an address in 32 bits, which no address of the kernel fits"
        return Finding("KS432", "error", "relocate", message, _NO_FLAGS, "ENOEXEC")
    if flaw == "taken":
        message = f"{where} has a relocation where there is something already"
        return Finding("KS460", "error", "relocate", message, _REBUILD, "ENOEXEC")
    what = "two relocations in one place" if flaw == "overlaps" else "a relocation beyond its end"
    message = f"{where} has {what}: the kernel would damage itself"
    return Finding("KS460", "error", "relocate", message, _REBUILD, UNSURE)


def exports(ko: KoFile, facts: KernelFacts, project: Symvers | None) -> list[Finding]:
    """The symbols it exports that others export already: the kernel, its modules, or those it was built
    with, where modpost says nothing.
    """
    owners: dict[str, list[str]] = {}
    beside = _beside(ko, facts) if ko.exports else {}
    for export in ko.exports:
        others = [o for known in (facts.exports, project) if known for o in known.all_of(export.symbol)]
        names = [o.module or "the kernel" for o in others if o.module != ko.name]
        # Older modposts note only one of several.
        names += [name for name, theirs in beside.items() if export.symbol in theirs]
        for name in dict.fromkeys(names):
            owners.setdefault(name, []).append(export.symbol)
    found = []
    for owner, names in owners.items():
        there = owner == "the kernel" or (facts.loaded is not None and owner in facts.loaded)
        if there:
            message = f"it exports {_list(names)}, which {owner} exports already"
            found.append(
                Finding("KS431", "error", "formation", message, "rename it, or make it static", "ENOEXEC")
            )
        elif facts.loaded is None:
            message = f"it exports {_list(names)} as {owner} does: only one of the two can be loaded"
            found.append(Finding("KS431", "warn", "formation", message, "rename it, or make it static"))
    return found


def _beside(ko: KoFile, facts: KernelFacts) -> dict[str, frozenset[str]]:
    """What the modules export that are loaded and whose files are in the same directory, by their names."""
    found = {}
    for path in ko.path.absolute().parent.glob("*.ko") if facts.loaded else ():
        name = normalize_name(path.stem)
        if name in (facts.loaded or ()) and name != ko.name:
            with contextlib.suppress(KscaffoldError):
                found[name] = frozenset(e.symbol for e in kofile.read_ko(path).exports)
    return found
