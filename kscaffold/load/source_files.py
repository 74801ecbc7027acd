"""The source files of a module, as far as they lie beside its .ko."""

import re
from collections.abc import Iterable
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.files import reader

_LARGEST = 1 << 20  # bytes of a source file that is searched
_MOST_FILES = 64


def sources_of(kos: Iterable[ModuleFile]) -> tuple[tuple[str, str], ...]:
    """Name (relative to the module's home) and text of the files that the modules were built from, as
    Kbuild lists them beside each .ko; where there is no list, of all C files there.
    """
    found: dict[str, str] = {}
    for ko in kos:
        for path in (*_of_list(ko), *sorted(ko.beside.glob("*.h")))[:_MOST_FILES]:
            name = str(path.relative_to(ko.home))
            if name not in found and (text := _text(path)) is not None:
                found[name] = text
    return tuple(found.items())


def _of_list(ko: ModuleFile) -> list[Path]:
    stem = ko.path.name.partition(".ko")[0]
    words = re.split(r"\s+", _text(ko.beside / f"{stem}.mod") or "")
    objects = [w for w in words if w.endswith(".o")] or [f"{stem}.o"]
    files = [_source(ko, word) for word in objects]
    return [f for f in files if f] or sorted(ko.beside.glob("*.c"))


def _source(ko: ModuleFile, word: str) -> Path | None:
    """The C file of an object, as Kbuild names the object: by its name, by a path from the project's
    directory (since 6.13), or by a whole path, from where the project may have moved since.
    """
    places = (ko.beside / word, ko.home / word, ko.beside / Path(word).name)
    sources = (place.with_suffix(".c") for place in places)
    return next((s for s in sources if s.is_relative_to(ko.home) and s.is_file()), None)


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        return reader.read_text(path)
    except OSError:
        return None
