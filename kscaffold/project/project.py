"""What a directory builds, as make itself says it. The facts; `ask.py` gets them."""

from pathlib import Path

from kscaffold.elf.module_name import module_name_of, normalize_name
from kscaffold.errors import UsageError
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class ModuleTarget:
    """One .ko that a project builds.

    `name`: the file's name without `.ko` (`my-mod`). `objects`: what is linked, as in Kbuild, relative to
    `directory` (`("ret-1.o",)`; `("hello.o",)` for a single-file module). `directory`: where its Kbuild
    is. `ko`: where make leaves it.
    """

    name: str
    objects: tuple[str, ...]
    directory: Path
    ko: Path

    @property
    def listed(self) -> str:
        """The name in `obj-m`, without `.o`: `sub/name` for a .ko that lies below its Kbuild."""
        return str(self.ko.relative_to(self.directory)).removesuffix(".ko")


@dataclass(frozen=True, slots=True)
class Project:
    """A directory with a Kbuild or a kernel-style Makefile. `directory` is absolute, links resolved.

    `kbuild_file`: the one make reads first. `read`: every file of the project make read to know the targets
    (also those of sub-directories, and what they include). `flags` and `circles` only where asked for:
    what is set of (directory, variable such as `ccflags-y`, value), and the modules that list themselves.
    """

    directory: Path
    kbuild_file: Path
    targets: tuple[ModuleTarget, ...]
    read: tuple[Path, ...] = ()
    flags: tuple[tuple[Path, str, str], ...] = ()
    circles: tuple[Path, ...] = ()

    def named(self, module: str | None) -> tuple[ModuleTarget, ...]:
        """The targets that --module means, as a file or as the kernel calls it; all without one.

        Raises UsageError KS109 where there is none of that name.
        """
        if module is None:
            return self.targets
        wanted = module_name_of(module)
        found = tuple(t for t in self.targets if normalize_name(t.name) == wanted)
        if not found:
            import difflib  # start-up time: for a typing error

            names = [t.name for t in self.targets]
            near = difflib.get_close_matches(module, names, 1) or (names if len(names) == 1 else [])
            raise UsageError(
                "KS109",
                f"no module {module} in this project",
                cause=f"it builds {', '.join(names) or 'none'}",
                fix=f"--module {near[0]}" if near else "leave the name out, for all of them",
            )
        return found
