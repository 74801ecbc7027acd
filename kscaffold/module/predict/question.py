"""What every stage of the prediction is asked about: one load, before it is tried."""

from collections.abc import Iterable

from kscaffold.elf.model import KoFile
from kscaffold.kernel.facts import KernelFacts
from kscaffold.kernel.signature_check import SignatureCheck
from kscaffold.kernel.symvers import Exported, Symvers
from kscaffold.records import dataclass

_MOST_NAMES = 6


@dataclass(frozen=True, slots=True)
class Question:
    """Will `kernel` take `ko`?

    `arguments`: words in the kernel's syntax (arguments.split). `project`: what the modules built together
    with `ko` export, which may be loaded before it. `signature`: whose signature `ko` has
    (check_signature), None where it has none or nobody looked.
    """

    ko: KoFile
    kernel: KernelFacts
    arguments: tuple[str, ...] = ()
    project: Symvers | None = None
    signature: SignatureCheck | None = None

    @property
    def name(self) -> str:
        """The name that the kernel will list the module by."""
        return self.ko.struct_name or self.ko.name

    @property
    def build_for_kernel(self) -> str:
        """The command that builds the module for this kernel."""
        return f"kscaffold build --kernel {self.kernel.release}"

    def exporter(self, symbol: str) -> Exported | None:
        """The export of a symbol: by the kernel with its modules, else by the module's own project. A module
        of the project's comes in the place of the kernel's of that name.
        """
        tables = (self.kernel.exports, self.project)
        of_kernel, of_project = (table.find_export(symbol) if table else None for table in tables)
        if of_kernel and of_project and of_kernel.module and of_kernel.module == of_project.module:
            return of_project
        return of_kernel or of_project

    def is_loaded(self, module: str) -> bool:
        """Whether a module is known to be in the kernel."""
        return module in (self.kernel.loaded or ())


def abbreviate(names: Iterable[str]) -> str:
    """Names for a message: the first few, and how many more there are."""
    listed = list(names)
    more = len(listed) - _MOST_NAMES
    return ", ".join(listed[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
