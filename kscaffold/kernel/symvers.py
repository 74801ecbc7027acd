"""Module.symvers: what a build exports, one line a symbol, separated by tabs."""

import re
from collections.abc import Sequence
from pathlib import Path

from kscaffold.elf.module_name import module_name_of
from kscaffold.files import reader
from kscaffold.records import dataclass

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


class Symvers:
    """A Module.symvers, or those of several builds: the first that has a symbol counts.

    A kernel's has 15,000 lines, and a module asks for some ten of them: they are searched for in the text.
    Whoever asks for many has the lines taken apart, which takes as long as some forty searches.
    """

    _SEARCHES = 40

    def __init__(self, *texts: str) -> None:
        self._texts = tuple(f"\n{text}\n" for text in texts)
        self._searched = 0
        self._lines: list[dict[str, list[str]]] | None = None

    def find_export(self, symbol: str) -> Exported | None:
        """The export of a symbol; None where nobody exports it."""
        lines = self._lines_of(symbol)
        return _exported(lines[-1]) if lines else None

    def all_of(self, symbol: str) -> list[Exported]:
        """Everybody who exports a symbol: several modules of one build may."""
        return [found for line in self._lines_of(symbol) if (found := _exported(line))]

    def has_module_namespaces(self) -> bool:
        """Whether the kernel has namespaces that are kept for named modules.

        They came with Linux kernel commit 707f853d7fa3 "module: Provide EXPORT_SYMBOL_GPL_FOR_MODULES()
        helper" (in v6.16).
        """
        return any("\tmodule:" in text for text in self._texts)

    def followed_by(self, others: Sequence["Symvers"]) -> "Symvers":
        """These exports, and behind them those of other builds."""
        both = Symvers()
        both._texts = (*self._texts, *(text for other in others for text in other._texts))
        return both

    def _lines_of(self, symbol: str) -> Sequence[str]:
        if self._lines is None and self._searched < self._SEARCHES:
            self._searched += 1
            return next((found for text in self._texts if (found := _search(text, symbol))), ())
        if self._lines is None:
            self._lines = [_by_symbol(text) for text in self._texts]
        return next((lines[symbol] for lines in self._lines if symbol in lines), ())


def _search(text: str, symbol: str) -> list[str]:
    """The lines of a symbol, which stands in the second column."""
    found = []
    at = text.find(word := f"\t{symbol}\t")
    while at >= 0:
        line = text[text.rfind("\n", 0, at) + 1 : text.find("\n", at + 1)]
        if line.split("\t", 2)[1] == symbol:
            found.append(line)
        at = text.find(word, at + 1)
    return found


def _by_symbol(text: str) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if line.count("\t") >= 2:
            lines.setdefault(line.split("\t", 2)[1], []).append(line)
    return lines


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
        return Symvers(reader.read_text(path, MOST_SYMVERS))
    except OSError:
        return None


def beside(ko: Path) -> Symvers | None:
    """The exports of the build that made this .ko, and of the builds that it took symbols from: its
    Module.symvers, in the .ko's directory or above, and those of KBUILD_EXTRA_SYMBOLS.
    """
    file = _file_of_build(ko)
    own = read_symvers(file) if file else None
    others = [found for other in other_builds(ko) if (found := read_symvers(other))]
    return own.followed_by(others) if own and others else own


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
