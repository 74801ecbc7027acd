"""What a module needs loaded before it: modules beside it, and those that came with the kernel."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kscaffold.elf import quick
from kscaffold.elf.module_name import normalize_name
from kscaffold.files import paths
from kscaffold.kernel.kernel import Kernel

Find = Callable[[str], Path | None]
_SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


def in_dependency_order(kos: Sequence[Path]) -> tuple[Path, ...]:
    """The same modules, each after those of them that it needs; in their order otherwise."""
    if len(kos) < 2:
        return tuple(kos)
    by_name = {quick.module_name(ko): ko for ko in kos}
    done: dict[Path, None] = {}
    for ko in kos:
        done.update(dict.fromkeys((*_closure(ko, by_name.get), ko)))
    return tuple(done)


def dependencies(ko: Path, beside: Sequence[Path], kernel: Kernel | None) -> tuple[Path, ...]:
    """The modules to load before `ko`, in order, as far as they can be found; by `depends=` of each.

    `beside`: the modules of its own project. A module that came with `kernel` is unpacked in the cache
    where it is compressed.
    """
    own = {quick.module_name(path): path for path in beside if path != ko} if quick.depends(ko) else {}

    def find(name: str) -> Path | None:
        return own.get(name) or (_of_kernel(name, kernel) if kernel else None)

    return tuple(_closure(ko, find))


def _closure(ko: Path, find: Find, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """What a module needs, depth first, each once. A circle ends where it closes."""
    seen: set[Path] = set()
    for name in quick.depends(ko):
        path = find(name)
        if path is None or path in above or path == ko:
            continue
        for needed in (*_closure(path, find, (*above, ko)), path):
            if needed not in seen:
                seen.add(needed)
                yield needed


def _of_kernel(name: str, kernel: Kernel) -> Path | None:
    """A module that came with the kernel, ready to load."""
    if kernel.modules is None:
        return None
    try:
        listed = (kernel.modules / "modules.order").read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in listed:
        if normalize_name(line.rpartition("/")[2].removesuffix(".ko")) == name:
            # The list has the names from before they were compressed.
            plain = kernel.modules / line
            for suffix in _SUFFIXES:
                path = plain.with_suffix(suffix)
                if path.is_file():
                    return path if suffix == ".ko" else _unpacked(path, kernel)
    return None


def _unpacked(packed: Path, kernel: Kernel) -> Path:
    """A compressed module's plain copy in the cache, made where it is not there or older."""
    from kscaffold.elf import content  # start-up time: few modules need it

    place = paths.cache() / "modules" / kernel.release
    plain = place / f"{packed.name.partition('.ko')[0]}.ko"
    stamp = packed.stat().st_mtime_ns
    if not plain.is_file() or plain.stat().st_mtime_ns != stamp:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
            file.write(content.read_content(packed)[0])
        os.utime(file.name, ns=(stamp, stamp))
        Path(file.name).replace(plain)
    return plain
