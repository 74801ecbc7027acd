"""The record of one processor architecture: all that differs between machines, and nothing else."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Bits = Literal[32, 64]
Order = Literal["<", ">"]
"""A byte order, as the struct module writes it."""

ImageForm = Literal["pvh", "bzImage", "Image", "zImage", "vmlinux", "EFI zboot"]
"""The file that QEMU gets as -kernel: `pvh` is the ELF kernel out of a bzImage, entered by its PVH note,
`EFI zboot` the payload out of such an image; the others are files as the kernel's package has them.
"""


class LoaderWrites(NamedTuple):
    """What the module loader writes for each type of relocation. An architecture has this record where it
    tells which relocation the loader refuses. All numbers are relocation types.
    """

    # Bytes that each type fills. A type that is absent is not known to the loader, or fills nothing.
    width: Mapping[int, int]
    # The type that must fit into 32 bits without a sign.
    unsigned_32: int
    # The type that must fit into 32 bits with a sign.
    signed_32: int
    # The type of a whole pointer.
    pointer: int
    # The type of a 32-bit distance from the place itself.
    distance: int


class Architecture(NamedTuple):
    """One architecture as Linux, ELF, Debian and QEMU name it.

    A named tuple: every load reads it, and a dataclass of forty fields takes 2 ms more to define.
    """

    # The name that kscaffold's records, reports and JSON documents have: what `uname -m` says.
    name: str
    # Every word that `uname -m` may say on it; `name` is one of them.
    uname: tuple[str, ...]
    # The name in a sentence.
    title: str
    # Debian's name (dpkg --print-architecture).
    debian: str
    # Debian's kernel flavours, the smallest with all that kscaffold needs first. Empty: Debian has none.
    flavours: tuple[str, ...]

    # Kbuild's ARCH.
    kbuild: str
    # The directory below arch/ (Kbuild's SRCARCH).
    srcarch: str
    # CROSS_COMPILE is this with a hyphen behind it.
    triple: str

    # e_machine of an ELF header.
    elf_machine: int
    # elf.h's name of that number.
    elf_machine_name: str
    # The class of its ELF files.
    bits: Bits
    # The byte order of its ELF files.
    order: Order
    # Whether its kernels look at e_machine alone, and believe any class and byte order.
    ident_ignored: bool
    # The words at the end of a vermagic (MODULE_ARCH_VERMAGIC), in their order. For each place the options
    # and the word that each brings; the first one that is set counts, and "" is always set. None where they
    # are not written down here.
    vermagic: tuple[tuple[tuple[str, str], ...], ...] | None
    # Whether the loader takes relocations with addends (SHT_RELA) or without (SHT_REL).
    rela: bool
    # The names of relocation types, by number.
    relocations: Mapping[int, str]
    # The types that the module loader of some kernel series applies.
    loader_relocations: frozenset[int]
    # The errno that the loader has for another type.
    unknown_relocation: Literal["ENOEXEC", "EINVAL"]
    # How the loader writes them; None where kscaffold does not follow it relocation by relocation.
    loader_writes: LoaderWrites | None
    # Sections that a .ko has nearly empty and the loader fills (module_frob_arch_sections).
    loader_sections: tuple[str, ...]
    # Undefined symbols that no module and no kernel needs to export: the linker or the loader makes them.
    # A name with * at its end stands for all that begin so.
    linker_symbols: tuple[str, ...]
    # The addresses that modules are loaded at, from the first to the last. None where the kernel's
    # configuration decides.
    module_addresses: tuple[int, int] | None
    # A regular expression for the beginning of an oops's line that names the program counter.
    oops_pc: str

    # QEMU's program.
    qemu: str
    # Debian's package of that program.
    qemu_package: str
    # QEMU's -machine, without its options.
    machine: str
    # Options of -machine.
    machine_options: tuple[str, ...]
    # Options of -machine besides, where a device is to be on the PCI bus; None where there can be none.
    pci_options: tuple[str, ...] | None
    # QEMU's -cpu, by accelerator.
    cpu: Mapping[str, str]
    # The kernel's name of the machine's first serial device (console=).
    console: str
    # QEMU's device that carries the agent's port.
    agent_device: str
    # The modules that drive that device, where they are not built in; what they depend on comes along.
    agent_drivers: tuple[str, ...]
    # What QEMU boots.
    image: ImageForm
    # Further words for the guest's kernel.
    cmdline: tuple[str, ...]
    # The kernel's parameter for the rate of the processor's counter, in kHz. None where none is needed.
    counter_parameter: str | None
    # Whether initrdmem= names the place of the initramfs in memory, and the kernel keeps off that memory
    # (memmap=), instead of QEMU placing it.
    initramfs_in_memory: bool
    # How many times as long as x86-64's its boot may take, firmware included, before it counts as hung.
    boot_patience: int
    # The agent's header, in the directory arch beside agent.c.
    agent_header: str
    # What the compiler of the agent is given besides what it is given everywhere.
    agent_flags: tuple[str, ...]
    # Whether the code by which its kernels read their certificates is known to kernel/builtin_certs.py.
    takes_certificates: bool = False
    # Bytes of no-ops that a function of a module begins with, for the kernel's tracer
    # (-fpatchable-function-entry). They have no line of their own: the line table gives them the last one
    # of the function before.
    patchable_entry: int = 0
    # Whether its kernels panic of an interrupt that can't be masked, and say where they were
    # (kernel.panic_on_unrecovered_nmi), and QEMU's machine can send it.
    panics_on_nmi: bool = False
    # A regular expression for the functions that an interrupt enters the kernel by: the next call of a stack
    # is the one that it came upon. Empty where they are not known.
    interrupt_entry: str = ""

    def __hash__(self) -> int:
        """The hash of the name: no two records have one name."""
        return hash(self.name)

    def compiler_package(self, version: int | None = None) -> str:
        """Debian's package of the compiler for it on another machine: `gcc-12-x86-64-linux-gnu`. The name of
        a package has no underscore.
        """
        name = f"gcc-{version}" if version else "gcc"
        return f"{name}-{self.triple.replace('_', '-')}"

    def from_linker(self, symbol: str) -> bool:
        """Whether an undefined symbol is made by the linker or the loader, so that nobody exports it."""
        return any(
            symbol.startswith(name[:-1]) if name.endswith("*") else symbol == name
            for name in self.linker_symbols
        )
