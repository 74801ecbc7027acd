"""What a module needs loaded before it: modules beside it, and those that came with the kernel."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.module_name import KO_SUFFIXES, ko_stem, module_name_of
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import file_beside, write_new
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.symvers import other_builds

Find = Callable[[str], ModuleFile | None]


class ModuleFiles:
    """The .ko files of one command, each opened once. `home`: the project's directory."""

    def __init__(self, home: Path | None = None) -> None:
        self._home = home
        self._opened: dict[Path, ModuleFile] = {}

    def open(self, path: Path) -> ModuleFile:
        """The file at `path`. Raises as ModuleFile.open() does."""
        if path not in self._opened:
            self._opened[path] = ModuleFile.open(path, self._home)
        return self._opened[path]

    def by_name(self, paths: Sequence[Path]) -> dict[str, ModuleFile]:
        """The modules of the readable files, by the kernel's names."""
        found = {}
        for path in paths:
            with contextlib.suppress(KscaffoldError):  # it may not be needed; the kernel says so if it is
                file = self.open(path)
                found[file.module] = file
        return found


def in_dependency_order(kos: Sequence[ModuleFile]) -> tuple[ModuleFile, ...]:
    """The modules in an order in which each comes after what it needs; their own order otherwise."""
    if len(kos) < 2:
        return tuple(kos)
    by_name = {ko.module: ko for ko in kos}
    done: dict[ModuleFile, None] = {}
    for ko in kos:
        done.update(dict.fromkeys((*_closure(ko, by_name.get), ko)))
    return tuple(done)


def dependencies(
    ko: ModuleFile, beside: Sequence[Path], kernel: Kernel | None, files: ModuleFiles
) -> tuple[ModuleFile, ...]:
    """The modules to load before `ko`, in order, as far as they can be found; by `depends=` of each.

    `beside`: the modules of its own project. A module that came with `kernel` is unpacked in the cache
    where it is compressed.
    """
    # Most need nothing: then no other file is opened.
    own = files.by_name([path for path in beside if path != ko.path]) if quick.depends(ko) else {}

    def find(name: str) -> ModuleFile | None:
        if name in own:
            return own[name]
        path = (module_of_kernel(name, kernel) if kernel else None) or _of_other_build(name, ko.path)
        return files.open(path) if path else None

    return tuple(_closure(ko, find))


def _of_other_build(name: str, ko: Path) -> Path | None:
    """A module of a project that this .ko was built against (KBUILD_EXTRA_SYMBOLS)."""
    for symvers in other_builds(ko):
        home = symvers.parent
        for path in (*home.glob("*.ko"), *home.glob("*/*.ko")):
            if module_name_of(path.name) == name:
                return path
    return None


def _closure(ko: ModuleFile, find: Find, above: tuple[ModuleFile, ...] = ()) -> Iterator[ModuleFile]:
    """The modules that a module needs, depth first, each once. A circle ends where it closes."""
    seen: set[ModuleFile] = set()
    for name in quick.depends(ko):
        found = find(name)
        if found is None or found in above or found is ko:
            continue
        for needed in (*_closure(found, find, (*above, ko)), found):
            if needed not in seen:
                seen.add(needed)
                yield needed


def module_of_kernel(name: str, kernel: Kernel) -> Path | None:
    """A module that came with the kernel, ready to load; `name` as the kernel spells it. None where it has
    none of that name.
    """
    if kernel.modules is None:
        return None
    try:
        listed = reader.read_text(kernel.modules / "modules.order").splitlines()
    except OSError:
        return None
    for line in listed:
        if module_name_of(line) == name:
            # The list has the names from before they were compressed.
            plain = kernel.modules / line
            for suffix in KO_SUFFIXES:
                path = plain.with_suffix(suffix)
                if path.is_file():
                    return path if suffix == ".ko" else _unpacked(path, kernel)
    return None


def _unpacked(packed: Path, kernel: Kernel) -> Path:
    """A compressed module's plain copy in the cache, made where it is not there or older."""
    from kscaffold.elf import content  # start-up time: few modules need it

    place = paths.cache() / "modules" / kernel.release
    plain = place / f"{ko_stem(packed.name)}.ko"
    stamp = packed.stat().st_mtime_ns
    if not plain.is_file() or plain.stat().st_mtime_ns != stamp:
        paths.make_own(place)
        with file_beside(plain) as hidden:
            write_new(hidden, content.read_content(packed)[0], 0o600)
            os.utime(hidden, ns=(stamp, stamp))
            hidden.replace(plain)
    return plain
