"""The other names of a kernel's modules (MODULE_ALIAS), by which it asks modprobe for them.

depmod's modules.alias has them where the kernel was installed; a kernel that was only unpacked has none, so
they are read of the modules, once for each kernel.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kscaffold.elf import content
from kscaffold.elf.module_name import KO_SUFFIXES, module_name_of, normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.kernel.kernel import Kernel

_ALIAS = re.compile(rb"\0alias=([^\0]{1,250})(?=\0)")
_FILE = "aliases.json"


def matches(alias: str, wanted: str) -> bool:
    """Whether an alias, which may be a shell pattern, stands for a name that `normalize_name` gave."""
    return fnmatch.fnmatchcase(wanted, normalize_name(alias))


def aliases_of(ko: bytes) -> list[str]:
    """The aliases in the bytes of a module."""
    return [found.decode(errors="replace") for found in _ALIAS.findall(ko)]


def modules_of_alias(wanted: str, kernel: Kernel) -> list[str]:
    """The modules that came with the kernel and have that alias, by the kernel's names."""
    known = _index(kernel)
    plain = known.get("plain", {}).get(wanted, [])
    return [*plain, *(module for alias, module in known.get("patterns", ()) if matches(alias, wanted))]


def built_in(kernel: Kernel) -> set[str]:
    """Names and aliases of what is in the kernel itself, where it could have been a module."""
    if kernel.modules is None:
        return set()
    names: set[str] = set()
    try:
        names.update(map(module_name_of, reader.read_text(kernel.modules / "modules.builtin").splitlines()))
        facts = reader.read_bytes(kernel.modules / "modules.builtin.modinfo", content.LIMIT)
    except OSError:
        return names
    found = re.findall(rb"(?:^|\0)[\w-]+\.alias=([^\0]+)", facts)
    return names | {normalize_name(alias.decode(errors="replace")) for alias in found}


def _index(kernel: Kernel) -> dict[str, Any]:
    """Plain aliases to their modules, and pairs of pattern and module; kept in the cache."""
    place = paths.cache() / "modules" / kernel.release / _FILE
    listed = kernel.modules / "modules.order" if kernel.modules else None
    if listed is None or not listed.is_file():
        return {}
    stamp = listed.stat().st_mtime_ns
    try:
        known = paths.recorded(place)
        if known.get("stamp") == stamp:
            return known
    except (OSError, ValueError):
        pass
    assert kernel.modules
    plain: dict[str, list[str]] = {}
    patterns: list[tuple[str, str]] = []
    for module, ko in _modules(kernel.modules):
        for alias in aliases_of(ko):
            # What devices are known by (pci:, usb:): asked for by udev, which no guest has.
            if re.search(r"[*?\[]", alias):
                if ":" not in alias:
                    patterns.append((alias, module))
            else:
                plain.setdefault(normalize_name(alias), []).append(module)
    paths.make_own(place.parent)
    known = {"stamp": stamp, "plain": plain, "patterns": patterns}
    write_whole(place, json.dumps(known, separators=(",", ":")))
    return known


def _modules(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((directory / "kernel").rglob("*.ko*")):
        if path.name.endswith(KO_SUFFIXES):
            try:
                yield module_name_of(path.name), content.read_content(path)[0]
            except (KscaffoldError, OSError):
                continue
