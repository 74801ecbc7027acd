"""A pristine guest, and what a test loads into it."""

import contextlib
from collections.abc import Iterator

from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.kernel import Kernel
from kscaffold.module.arguments import Parameters
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.support.modules import built


@contextlib.contextmanager
def guest_of(kernel: Kernel) -> Iterator[tuple[Guest, SandboxTarget]]:
    """A guest of this kernel, and the target that it is."""
    guest = start_guest(plan_vm(kernel, ""))
    try:
        yield guest, SandboxTarget.from_guest(guest, "")
    finally:
        guest.close()


def ask(kernel: Kernel, name: str, *words: str) -> tuple[ModuleFile, Parameters]:
    """The .ko of one of the small modules, and the parameters of a load."""
    return ModuleFile.open(built(kernel) / f"{name}.ko"), Parameters.from_arguments(words)
