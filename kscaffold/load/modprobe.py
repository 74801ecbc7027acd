"""What a guest's kernel asks modprobe for (request_module), found as modprobe would find it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.dependencies import ModuleFiles, dependencies, module_of_kernel


class Modprobe:
    """Finds modules by name or alias: in the directories `beside`, of the project, then among those that came
    with `kernel`. Nothing is read before it is asked.
    """

    __slots__ = ("_beside", "_files", "_kernel")

    def __init__(self, beside: Sequence[Path], kernel: Kernel) -> None:
        self._beside = tuple(dict.fromkeys(beside))
        self._kernel = kernel
        self._files = ModuleFiles()

    def __call__(self, name: str) -> tuple[ModuleFile, ...] | None:
        """The modules to load for `name`, each after those that it needs; none where it is built into the
        kernel; None where there is no such module.
        """
        from kscaffold.kernel import aliases  # start-up time: few modules ask for others

        own = sorted(p for directory in self._beside for p in directory.glob("*.ko"))
        wanted = normalize_name(name)
        with contextlib.suppress(KscaffoldError, OSError):
            for ko in self._named(own, wanted):
                return (*dependencies(ko, own, self._kernel, self._files), ko)
            if wanted in aliases.built_in(self._kernel):
                return ()
        return None

    def _named(self, own: Sequence[Path], wanted: str) -> Iterator[ModuleFile]:
        """The modules that a name or an alias stands for, the nearest first."""
        from kscaffold.kernel import aliases  # start-up time: few modules ask for others

        mine = self._files.by_name(own)
        if wanted in mine:
            yield mine[wanted]
        for ko in mine.values():
            if any(aliases.matches(alias, wanted) for alias in aliases.aliases_of(ko.read_bytes())):
                yield ko
        for module in (wanted, *aliases.modules_of_alias(wanted, self._kernel)):
            if path := module_of_kernel(module, self._kernel):
                yield self._files.open(path)
