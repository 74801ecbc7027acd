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
        """The modules to load for `name`, each after those that it needs, and with those that they would like
        to have (MODULE_SOFTDEP) as far as there are any; none where it is built into the kernel; None where
        there is no such module.
        """
        from kscaffold.kernel import aliases  # start-up time: few modules ask for others

        own = sorted(p for directory in self._beside for p in directory.glob("*.ko"))
        wanted = normalize_name(name)
        with contextlib.suppress(KscaffoldError, OSError):
            for ko in self._named(own, wanted):
                return self._with_soft(ko, own, set())
            if wanted in aliases.built_in(self._kernel):
                return ()
        return None

    def _with_soft(
        self, ko: ModuleFile, own: Sequence[Path], known: set[ModuleFile]
    ) -> tuple[ModuleFile, ...]:
        """A module with all that is loaded with it. It stands last, whatever its `post:` says: the kernel is
        told how the last load went. Those of `post:` that need the module itself come after it.
        `known`: modules that are being looked at, which a circle comes back to.
        """
        from kscaffold.elf import quick  # start-up time: few modules ask for others

        known.add(ko)
        before: dict[ModuleFile, None] = {}
        after: dict[ModuleFile, None] = {}
        for one in (*dependencies(ko, own, self._kernel, self._files), ko):
            for name in (n for names in quick.soft_dependencies(one) for n in names):
                with contextlib.suppress(KscaffoldError, OSError):  # what can't be read is not there
                    soft = next(self._named(own, normalize_name(name)), None)
                    with_it = self._with_soft(soft, own, known) if soft and soft not in known else ()
                    (after if ko in with_it else before).update(dict.fromkeys(with_it))
            before.update({} if one is ko else {one: None})
        return tuple(dict.fromkeys((*before, ko, *after)))

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
