"""A Kbuild proposed from sources: which of them are modules, and what belongs to each. Pure."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from kscaffold.elf.module_name import normalize_name
from kscaffold.records import dataclass
from kscaffold.scaffold.adopt.sources import CSource
from kscaffold.scaffold.kbuild.generate import ModuleSpec, kbuild

_STEM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A Kbuild's text, the modules it builds, and what the reader was not sure of."""

    text: str
    modules: tuple[ModuleSpec, ...]
    unsure: tuple[str, ...]


def propose(directory: Path, sources: Sequence[CSource], headers: Sequence[Path]) -> Proposal | None:
    """The Kbuild for these sources of `directory`; None where none of them is a module's.

    `headers`: the .h files there, for the ones that are not found beside the source that includes them.
    """
    reader = _Reader(directory, [s for s in sources if _STEM.fullmatch(_stem(directory, s))])
    reader.unsure += [
        f"{s.path.relative_to(directory)}: left out, make can't take its name"
        for s in sources
        if s not in reader.all
    ]
    modules = reader.modules()
    if not modules:
        return None
    spdx = next((s.spdx for s in reader.roots if s.spdx), None) or "GPL-2.0-only"
    text = kbuild(modules, spdx)
    places = _include_places(directory, sources, headers)
    if places:
        text += f"ccflags-y := {' '.join(f'-I$(src)/{p}' if p != '.' else '-I$(src)' for p in places)}\n"
    return Proposal(text, tuple(modules), tuple(reader.unsure))


def _stem(directory: Path, source: CSource) -> str:
    return str(source.path.relative_to(directory).with_suffix(""))


class _Reader:
    """Puts sources together. `roots`: the sources that make a module each."""

    def __init__(self, directory: Path, sources: Sequence[CSource]) -> None:
        self.directory = directory
        self.all = list(sources)
        self.unsure: list[str] = []
        parts = {(s.path.parent / i).resolve() for s in sources for i in s.includes if i.endswith(".c")}
        kernel = [s for s in sources if s.path.resolve() not in parts and not self._is_program(s)]
        self.roots = [s for s in kernel if s.init]
        self.others = [s for s in kernel if not s.init]
        if not self.roots:
            # A module without init is one all the same: it only exports.
            self.roots = [s for s in self.others if s.license]
            self.others = [s for s in self.others if not s.license]

    def _is_program(self, source: CSource) -> bool:
        if source.program and not source.init:
            self.unsure.append(f"{self._name(source)}: left out, it is a program for user space")
            return True
        return False

    def _name(self, source: CSource) -> str:
        return str(source.path.relative_to(self.directory))

    def modules(self) -> list[ModuleSpec]:
        groups = {root.path: self._linked(root) for root in self.roots}
        self._shared(groups)
        self._left_out(groups)
        taken = {normalize_name(_stem(self.directory, s)) for s in self.all}
        found = []
        for root in self.roots:
            if root.init and not root.exit:  # one without init goes all the same
                self.unsure.append(f"{self._name(root)}: has no exit, so its module can't be unloaded")
            members = groups[root.path]
            if not any(s.license for s in (root, *members)):
                self.unsure.append(f"{self._name(root)}: has no MODULE_LICENSE, which a module needs")
            stem = _stem(self.directory, root)
            if members:
                name = self._composite_name(root, taken)
                self.unsure.append(
                    f"the name {name}.ko is proposed: a module can't be named like one of its objects"
                )
                found.append(ModuleSpec(name, (stem, *(_stem(self.directory, m) for m in members))))
            else:
                found.append(ModuleSpec(stem))
        return found

    def _linked(self, root: CSource) -> list[CSource]:
        """The sources that a root uses symbols of, and theirs."""
        group = [root]
        grown = True
        while grown:
            used = frozenset().union(*(s.uses for s in group))
            new = [s for s in self.others if s not in group and s.defines & used]
            group += new
            grown = bool(new)
        return group[1:]

    def _shared(self, groups: dict[Path, list[CSource]]) -> None:
        for other in self.others:
            users = [r for r in self.roots if other in groups[r.path]]
            if len(users) < 2:
                continue
            names = " and ".join(self._name(u) for u in users)
            if other.license and other.exports:
                # It exports what they use: a module of its own.
                for user in users:
                    groups[user.path].remove(other)
                self.roots.append(other)
                groups[other.path] = []
            else:
                why = "has no MODULE_LICENSE of its own" if other.exports else "exports nothing"
                self.unsure.append(f"{self._name(other)}: used by {names}; linked into each, as it {why}")

    def _left_out(self, groups: dict[Path, list[CSource]]) -> None:
        linked = {s.path for group in groups.values() for s in group} | set(groups)
        for other in self.others:
            if other.path in linked:
                continue
            if other.license:
                self.roots.append(other)
                groups[other.path] = self._linked(other)
                continue
            kin = [r for r in self.roots if _own_headers(r) & _own_headers(other)]
            if len(kin) == 1:
                groups[kin[0].path].append(other)
                self.unsure.append(
                    f"{self._name(other)}: shares a header with {self._name(kin[0])}, no symbol links them"
                )
            else:
                self.unsure.append(f"{self._name(other)}: left out, nothing links it to a module")

    def _composite_name(self, root: CSource, taken: set[str]) -> str:
        """A name that none of the objects has: the directory's where it is the only module, else made of
        its root's.
        """
        stem, above = (re.sub(r"\W|^(?=\d)", "_", n) for n in (root.path.stem, root.path.parent.name))
        alone = self.directory.name if len(self.roots) == 1 else ""
        numbered = (f"{stem}_mod{n}" for n in itertools.count(2))
        for name in (alone, f"{stem}_mod", f"{above}_{stem}", *itertools.islice(numbered, len(self.all))):
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) and normalize_name(name) not in taken:
                taken.add(normalize_name(name))
                return name
        raise AssertionError("there are more names than sources")


def _own_headers(source: CSource) -> set[Path]:
    return {(source.path.parent / i).resolve() for i in source.includes}


def _include_places(directory: Path, sources: Sequence[CSource], headers: Sequence[Path]) -> list[str]:
    """Directories of headers that are included by a name that only -I finds."""
    places: dict[str, None] = {}
    for source in sources:
        for name in source.includes:
            if (source.path.parent / name).exists():
                continue
            found = [h for h in headers if str(h).endswith(f"/{name}")]
            if len(found) == 1:
                place = str(found[0])[: -len(name) - 1]
                places[os.path.relpath(place, directory)] = None
    return list(places)
