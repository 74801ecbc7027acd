"""Finds what the modules of one guest left in its kernel, after their unload."""

from collections.abc import Sequence

from kscaffold.diagnosis.residue.compare import Part, compare
from kscaffold.diagnosis.residue.kinds import Residue
from kscaffold.diagnosis.residue.sections import SECTIONS, is_kept_cache, sections_of
from kscaffold.diagnosis.residue.source import made_by
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.plan import HELPERS
from kscaffold.load.report import LoadReport
from kscaffold.load.source_files import sources_of
from kscaffold.load.unload import UnloadReport
from kscaffold.records import replace
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Target

_ALL = sections_of({"a symbol that nobody knows"})
# Parts that tell of memory: an instrument's helper keeps some of its own.
_MEMORY = sum(1 << SECTIONS.index(f"/proc/{name}") for name in ("meminfo", "zoneinfo", "vmallocinfo"))
_MEMINFO, _ZONES = (1 << SECTIONS.index(f"/proc/{name}") for name in ("meminfo", "zoneinfo"))


def sections_to_watch(kos: Sequence[ModuleFile]) -> int:
    """Which parts of a photograph can show what these modules left (sections_of)."""
    # What one of them exports, it answers for itself: its own imports are in the sum.
    own = {name for ko in kos for name in quick.exports(ko)}
    return sections_of({name for ko in kos for name in quick.imports(ko)} - own)


class Leftovers:
    """One guest's photographs. `kos`: the modules that are loaded and unloaded in it; `sections`: what
    sections_to_watch() says of them.
    """

    def __init__(self, kos: Sequence[ModuleFile], sections: int, target: SandboxTarget) -> None:
        self._kos = tuple(kos)
        self._target = target
        # Free pages that a processor keeps for its next request count as used: 0.7 MB of them, or none, when
        # the first photograph was taken.
        self._sections = sections | (_ZONES if sections & _MEMINFO else 0)
        self._is_comparable = True
        self._began = False

    def after_helpers(self, *, photographed: bool = False) -> None:
        """To be called when an instrument's helpers are loaded: what they made is theirs. Memory proves
        nothing then. `photographed`: this kernel has been already, since they are.
        """
        self._sections &= ~_MEMORY
        if self._sections and not photographed:
            self._target.photograph(self._sections, first=True)

    def before_load(self, needed: Sequence[str]) -> None:
        """To be called before each load, with the modules that were loaded for it. Those stay, and what
        they made is theirs: the first photograph is taken again. It can't be taken again once one of the
        guest's own modules is loaded.
        """
        if needed and self._sections:
            self._is_comparable = self._is_comparable and not self._began
            if self._is_comparable:
                self._target.photograph(self._sections, first=True)
        self._began = True

    def of_failed_load(self, report: LoadReport) -> LoadReport:
        """The same report: find() tells what is left, at the end."""
        return report

    def find(
        self, loads: Sequence[LoadReport], unloads: Sequence[UnloadReport]
    ) -> tuple[Residue, ...] | None:
        """What is left; None where nobody can tell: a module is still loaded, or the kernel is not well."""
        failed = sum(r.judgement.verdict == "init-failed" for r in loads)
        gone = len(unloads) + failed == len(loads) and all(r.ok for r in unloads)
        judged = [r.judgement.complaints for r in loads] + [r.judgement.complaints for r in unloads]
        crashed = any(c.fatal for complaints in judged for c in complaints)
        if not gone or crashed or not self._is_comparable:
            return None
        try:
            parts = self._parts()
            found = _of_modules(compare(parts, sources_of(self._kos)), self._kos) if parts else []
            return _with_callbacks(found, unloads, self._target)
        except KscaffoldError:
            return None

    def _parts(self) -> list[Part]:
        """The parts that differ."""
        if not self._sections:
            return []
        return self._target.photograph(self._sections)


class LiveLeftovers:
    """Finds what modules left in a sandbox that lives on. The sandbox can be compared with its earlier
    state only while no module but the kernel's own is loaded.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def after_helpers(self) -> None:
        """Said when an instrument's helpers are in: what they made is theirs."""
        if not self._has_others(()):
            self._target.photograph(_ALL, first=True)

    def before_load(self, needed: Sequence[str]) -> None:
        """To be called before a load, with the modules loaded for it: what those made is not the load's."""
        if needed and not self._has_others(needed):
            self._target.photograph(_ALL, first=True)

    def of_failed_load(self, report: LoadReport) -> LoadReport:
        """The report of a load, and what an init that failed has left."""
        if report.judgement.verdict != "init-failed" or report.judgement.complaints:
            return report
        return replace(report, residue=self.find([report.file], ()))

    def find(self, kos: Sequence[ModuleFile], unloads: Sequence[UnloadReport]) -> tuple[Residue, ...] | None:
        """What is left, each thing once in the life of a sandbox; None where nobody can tell. Memory is not
        looked at: programs that ran in the sandbox hold some, too. `kos`: the files of the modules that
        were unloaded.
        """
        try:
            sections = sections_to_watch(kos) if kos else _ALL
            looks = bool(sections) and not self._has_others(())
            parts = self._target.photograph(sections) if looks else ()
            if parts is None:
                return None
            found = [r for r in _of_modules(compare(parts, sources_of(kos)), kos) if r.kind != "memory"]
            if found:
                self._target.photograph(_ALL, first=True)
            return _with_callbacks(found, unloads, self._target) if looks or unloads else None
        except KscaffoldError:
            return None

    def _has_others(self, names: Sequence[str]) -> bool:
        own = HELPERS.union(names)
        return any("O" in m.taints and m.name not in own for m in self._target.modules())


def _of_modules(found: Sequence[Residue], kos: Sequence[ModuleFile]) -> list[Residue]:
    """What was found, without the slab caches that the kernel made for itself."""
    if not any(r.kind == "slab" for r in found):
        return list(found)
    imports = {name for ko in kos for name in quick.imports(ko)}
    return [r for r in found if r.kind != "slab" or not (kos and is_kept_cache(r.name, imports))]


def _with_callbacks(
    found: Sequence[Residue], unloads: Sequence[UnloadReport], target: Target
) -> tuple[Residue, ...]:
    """All that was found, and the callbacks that the kernel would call in memory that went with a module."""
    pointed = [(u.dangling, name) for u in unloads if u.dangling for name in u.dangling.found_by(target)]
    callbacks = (
        (d, made_by(Residue("callback", name, module=d.module), sources_of([d.ko]))) for d, name in pointed
    )
    # Freed memory keeps its words: a callback that the module itself waits for has come.
    more = (left for d, left in callbacks if not d.awaits(left.undo or ""))
    # A timer's function and the timer are one thing, and so are a thread and what it runs.
    places = {r.where for r in found}
    new = (r for r in more if (r.where not in places if r.where else not found))
    once = {r.where or (r.module, r.name): r for r in new}
    return (*found, *once.values())


def with_residue(loads: Sequence[LoadReport], left: tuple[Residue, ...] | None) -> list[LoadReport]:
    """The loads; what is left is in the report of the module it is of, or whose source has the call, else in
    the last.
    """
    if left is None:
        return list(loads)
    of: dict[int, list[Residue]] = {i: [] for i in range(len(loads))}
    for each in left:
        file = (each.where or "").rpartition(":")[0]
        mine = (
            i
            for i, r in enumerate(loads)
            if (each.module == r.module if each.module else file and file in dict(sources_of([r.file])))
        )
        of[next(mine, len(loads) - 1)].append(each)
    return [replace(r, residue=tuple(of[i])) for i, r in enumerate(loads)]


def without_guesses(unloads: Sequence[UnloadReport], left: tuple[Residue, ...] | None) -> list[UnloadReport]:
    """The unloads; where it is proven what the kernel still points to of a module, none guesses at it."""
    proven = {r.module for r in left or () if r.kind == "callback"}
    return [
        replace(u, judgement=replace(u.judgement, code=None, cause=None, fix=None, certain=True))
        if u.ok and u.judgement.code == "KS617" and not u.judgement.certain and u.module in proven
        else u
        for u in unloads
    ]
