"""The source files of a module, as far as they lie beside its .ko."""

import re
from collections.abc import Iterable
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.files import reader

_LARGEST = 1 << 20  # bytes of a source file that is searched
_MOST_FILES = 64


def sources_of(kos: Iterable[ModuleFile]) -> tuple[tuple[str, str], ...]:
    """Name (relative to the module's directory) and text of the files that the modules were built from, as
    Kbuild lists them beside each .ko; where there is no list, of all C files there.
    """
    found: dict[str, str] = {}
    for ko in kos:
        home = ko.home
        for path in (*_of_list(ko, home), *sorted(home.glob("*.h")))[:_MOST_FILES]:
            name = str(path.relative_to(home))
            if name not in found and (text := _text(path)) is not None:
                found[name] = text
    return tuple(found.items())


def _of_list(ko: ModuleFile, home: Path) -> list[Path]:
    words = re.split(r"\s+", _text(home / f"{ko.path.name.partition('.ko')[0]}.mod") or "")
    objects = [home / w for w in words if w.endswith(".o")] or [
        home / f"{ko.path.name.partition('.ko')[0]}.o"
    ]
    # Newer kernels have whole paths there, and the project may have moved since.
    files = (
        o.with_suffix(".c") if o.is_relative_to(home) else (home / o.name).with_suffix(".c") for o in objects
    )
    return [f for f in files if f.is_file()] or sorted(home.glob("*.c"))


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        return reader.read_text(path)
    except OSError:
        return None
