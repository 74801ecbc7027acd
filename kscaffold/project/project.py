"""What a directory builds, as make itself says it. The facts; `ask.py` gets them."""

from dataclasses import dataclass
from pathlib import Path

from kscaffold.errors import UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """One .ko that a project builds.

    `name`: the file's name without `.ko` (`my-mod`). `objects`: what is linked, as in Kbuild, relative to
    `directory` (`("ret-1.o",)`; `("hello.o",)` for a single-file module). `directory`: where its Kbuild
    is. `ko`: where make leaves it.
    """

    name: str
    objects: tuple[str, ...]
    directory: Path
    ko: Path


@dataclass(frozen=True, slots=True)
class Project:
    """A directory with a Kbuild or a kernel-style Makefile. `directory` is absolute, links resolved.

    `kbuild_file`: the one make reads first. `read`: every file of the project make read to know the targets
    (also those of sub-directories, and what they include). `flags` and `circles` only where asked for:
    what is set of (directory, variable such as `ccflags-y`, value), and the modules that list themselves.
    """

    directory: Path
    kbuild_file: Path
    targets: tuple[Target, ...]
    read: tuple[Path, ...] = ()
    flags: tuple[tuple[Path, str, str], ...] = ()
    circles: tuple[Path, ...] = ()

    def meant(self, module: str | None) -> tuple[Target, ...]:
        """The targets that `--module` picks, all without it. Raises UsageError KS109 for one that is none."""
        if module is None:
            return self.targets
        name = kernel_name(module.removesuffix(".ko"))
        found = tuple(target for target in self.targets if kernel_name(target.name) == name)
        if not found:
            there = ", ".join(target.name for target in self.targets)
            raise UsageError("KS109", f"this project builds no module {module}", cause=f"it builds {there}")
        return found


def kernel_name(name: str) -> str:
    """The name the kernel knows a module by: `-` and `,` become `_` (scripts/Makefile.lib, name-fix)."""
    return name.replace("-", "_").replace(",", "_")
