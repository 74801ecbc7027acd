"""What must be known of a kernel to say whether it takes a module. Read once a kernel."""

import mmap
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from kscaffold.arch import table
from kscaffold.elf import kofile, quick
from kscaffold.elf.model import KoFile
from kscaffold.elf.module_name import KO_SUFFIXES, module_name_of
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.kernel import builtin, config, store, symvers
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.config import UNKNOWN_CONFIG, KernelConfig
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.symvers import Symvers
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """One kernel, as its module loader is. What can't be known is None.

    `exports`: its Module.symvers. `vermagic`, `struct_size` (bytes of struct module): those of a module
    built with it. `since_6_4`: it checks the size of struct module, and that some sections come once.
    `in_sysfs`: names that built-in code has in /sys/module; `perhaps_in_sysfs`: names it may have there.
    `modules`: where its own modules are. `image`: the decompressed one, where there is one. `loaded`:
    modules that are loaded, by the kernel's names; None: what a module needs is loaded before it.
    `cmdline`: the kernel's command line.
    """

    release: str
    arch: str
    exports: Symvers | None
    vermagic: str | None
    struct_size: int | None
    since_6_4: bool
    config: KernelConfig
    builtin: frozenset[str]
    in_sysfs: frozenset[str]
    perhaps_in_sysfs: frozenset[str]
    modules: Path | None
    image: Path | None = None
    loaded: frozenset[str] | None = None
    cmdline: str = ""

    @property
    def name(self) -> str:
        """The kernel's, as people and --kernel name it."""
        return table.kernel_name(self.release, self.arch)

    def has(self, option: str) -> bool | None:
        """Whether `CONFIG_<option>` is set; None where the configuration is not known."""
        return self.config.has(option)

    @property
    def version(self) -> tuple[int, int] | None:
        """The first two numbers of its release, for what nothing else tells."""
        found = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(found[1]), int(found[2])) if found else None

    def says(self, words: str) -> bool | None:
        """Whether these words of a message are in its image: it looks for what they tell of. None where
        there is no image. Takes 20 ms once for each.
        """
        return _says(self.image, words.encode()) if self.image else None


@lru_cache(maxsize=64)
def _says(image: Path, words: bytes) -> bool | None:
    try:
        with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(words) >= 0
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4)
def read_facts(kernel: Kernel) -> KernelFacts:
    """The facts of a kernel, from its build tree and its modules' directory. Takes 5 ms. Never raises
    for what is missing.
    """
    build, modules = kernel.build, kernel.modules
    options = config.read_config(build) if build else UNKNOWN_CONFIG
    vermagic, struct_size = _of_own_module(modules) if modules else (None, None)
    certain, perhaps = builtin.in_sysfs(kernel)
    return KernelFacts(
        release=kernel.release,
        arch=kernel.arch,
        exports=symvers.read_symvers(build / "Module.symvers") if build else None,
        vermagic=vermagic or _vermagic(kernel, options),
        struct_size=struct_size,
        since_6_4=_since_6_4(kernel),
        config=options,
        builtin=builtin.names(modules) if modules else frozenset(),
        in_sysfs=certain,
        perhaps_in_sysfs=perhaps,
        modules=modules,
        image=store.unpacked(kernel),
    )


def _text(path: Path) -> str:
    try:
        return reader.read_text(path)
    except OSError:
        return ""


def own_copy(ko: KoFile, facts: KernelFacts) -> KoFile | None:
    """The kernel's own module of the same name as `ko`, None where there is none or `ko` is it."""
    if facts.modules is None or ko.path.absolute().is_relative_to(facts.modules):
        return None
    for line in _text(facts.modules / "modules.order").splitlines():
        if module_name_of(line) == ko.name:
            for path in _packed(facts.modules / line):
                try:
                    return kofile.read_ko(path)
                except KscaffoldError:
                    return None
    return None


def _packed(plain: Path) -> Iterator[Path]:
    """modules.order has the names from before the compression."""
    yield from (path for s in KO_SUFFIXES if (path := plain.with_suffix(s)).is_file())


def _of_own_module(modules: Path) -> tuple[str | None, int | None]:
    """The vermagic and the bytes of struct module of a module that came with the kernel: the kernel's own."""
    for path in _candidates(modules):
        if all(found := quick.built_with(path)):
            return found
    return None, None


def _candidates(modules: Path) -> Iterator[Path]:
    """A few of the kernel's own modules; never of updates/ or extra/, which others built."""
    for line in _text(modules / "modules.order").splitlines()[:8]:
        yield from _packed(modules / line)
    found = (
        Path(where, name)
        for where, _, names in os.walk(modules / "kernel")
        for name in names
        if ".ko" in name
    )
    for _, path in zip(range(8), found, strict=False):
        yield path


def _vermagic(kernel: Kernel, config: KernelConfig) -> str | None:
    """The vermagic of a build tree without modules, put together as by include/linux/vermagic.h."""
    if kernel.build is None or config.has("RANDSTRUCT") is not False:
        return None
    release = read_tree(kernel.build, kernel.arch).release
    architecture = table.by_uname(kernel.arch)
    if not release or architecture is None or architecture.vermagic is None:
        return None
    words = [
        ("SMP", "SMP "),
        ("PREEMPT_RT", "preempt_rt "),
        # PREEMPT_BUILD came with dynamic preemption; before it PREEMPT said the same.
        ("PREEMPT_BUILD" if config.has("PREEMPT_BUILD") else "PREEMPT", "preempt "),
        ("MODULE_UNLOAD", "mod_unload "),
        ("MODVERSIONS", "modversions "),
    ]
    flags = [text for option, text in words if config.has(option)]
    if "preempt_rt " in flags and "preempt " in flags:
        flags.remove("preempt ")
    for choices in architecture.vermagic:
        flags += [text for option, text in choices if not option or config.has(option)][:1]
    return f"{release} {''.join(flags)}"


def _since_6_4(kernel: Kernel) -> bool:
    """Whether the kernel has struct module_memory, and with it the stricter checks of that version.

    Linux kernel commit ac3b43283923 "module: replace module_layout with module_memory" (in v6.4).
    """
    if kernel.build is not None:
        header = _text(read_tree(kernel.build, kernel.arch).source / "include/linux/module.h")
        if header:
            return "struct module_memory" in header
    # Without headers its name is all there is.
    version = re.match(r"(\d+)\.(\d+)", kernel.release)
    return bool(version) and (int(version[1]), int(version[2])) >= (6, 4) if version else False
