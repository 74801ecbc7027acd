"""Module.symvers: what a build exports, one line a symbol, separated by tabs."""

import re
from collections.abc import Mapping
from pathlib import Path

from kscaffold.elf.module_name import module_name_of
from kscaffold.files import reader
from kscaffold.records import dataclass, field

MOST_SYMVERS = 64 << 20
"""Bytes of a Module.symvers; a kernel's has about 1 MB."""
# From a module's directory up to the directory that `make M=` was given.
_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Exported:
    """One exported symbol. `module` is the kernel's name of who has it, None for the kernel itself."""

    crc: int
    module: str | None
    gpl: bool
    namespace: str


@dataclass(frozen=True, slots=True)
class Symvers:
    """A Module.symvers. Only its names are taken apart at first: it has 15,000 lines.

    `doubled`: all lines of a symbol that several modules of one build export.
    """

    lines: Mapping[str, str]
    doubled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find_export(self, symbol: str) -> Exported | None:
        """The export of a symbol; None where nobody exports it."""
        line = self.lines.get(symbol)
        return _exported(line) if line is not None else None

    def all_of(self, symbol: str) -> list[Exported]:
        """Everybody who exports a symbol."""
        lines = self.doubled.get(symbol) or [line for line in [self.lines.get(symbol)] if line]
        return [found for line in lines if (found := _exported(line))]

    def has_module_namespaces(self) -> bool:
        """Whether the kernel has namespaces that are kept for named modules.

        They came with Linux kernel commit 707f853d7fa3 "module: Provide EXPORT_SYMBOL_GPL_FOR_MODULES()
        helper" (in v6.16).
        """
        return any("\tmodule:" in line for line in self.lines.values())


def _exported(line: str) -> Exported | None:
    crc, _, module, *rest = line.rstrip("\n").split("\t")
    if rest and not rest[0].startswith("EXPORT_"):
        # The namespace stood in the third column until Linux kernel commit 5190044c2965 "modpost: move the
        # namespace field in Module.symvers last" (in v5.6).
        module, rest = rest[0], [*rest[1:], module]
    kind, namespace = (*rest, "", "")[:2]
    try:
        number = int(crc, 16)
    except ValueError:
        return None
    owner = None if module == "vmlinux" else module_name_of(module)
    return Exported(number, owner, "GPL" in kind, namespace)


def read_symvers(path: Path) -> Symvers | None:
    """The file's symbols; None where it can't be read."""
    try:
        lines = reader.read_text(path, MOST_SYMVERS).split("\n")
    except OSError:
        return None
    pairs = [(line.split("\t", 2)[1], line) for line in lines if line.count("\t") >= 2]
    found = dict(pairs)
    if len(found) == len(pairs):
        return Symvers(found)
    doubled: dict[str, tuple[str, ...]] = {}
    for symbol, line in pairs:
        doubled[symbol] = (*doubled.get(symbol, ()), line)
    return Symvers(found, {symbol: owners for symbol, owners in doubled.items() if len(owners) > 1})


def beside(ko: Path) -> Symvers | None:
    """The exports of the build that made this .ko, and of the builds that it took symbols from: its
    Module.symvers, in the .ko's directory or above, and those of KBUILD_EXTRA_SYMBOLS.
    """
    file = _file_of_build(ko)
    own = read_symvers(file) if file else None
    others = [found for other in other_builds(ko) if (found := read_symvers(other))]
    if own is None or not others:
        return own
    lines, doubled = dict(own.lines), dict(own.doubled)
    for other in others:
        lines = {**other.lines, **lines}
        doubled = {**other.doubled, **doubled}
    return Symvers(lines, doubled)


def other_builds(ko: Path) -> tuple[Path, ...]:
    """The Module.symvers of other projects that this .ko was built against (KBUILD_EXTRA_SYMBOLS), as its
    build left their paths; those that are there.
    """
    file = _file_of_build(ko)
    command = file.with_name(f".{file.name}.cmd") if file else None
    try:
        text = reader.read_text(command) if command and command.is_file() else ""
    except OSError:
        return ()
    given = (Path(word) for word in re.findall(r" -i (\S+)", text))
    return tuple(path for path in given if path.is_absolute() and path.is_file())


def _file_of_build(ko: Path) -> Path | None:
    directory = ko.absolute().parent
    for _ in range(_LEVELS):
        file = directory / "Module.symvers"
        if file.exists():
            return file
        directory = directory.parent
    return None
