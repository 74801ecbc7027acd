"""x86-64."""

from kscaffold.arch.architecture import Architecture, LoaderWrites

# The types that the module loader applies: __apply_relocate_add() in arch/x86/kernel/module.c.
_RELOCATIONS = {
    0: "R_X86_64_NONE",
    1: "R_X86_64_64",
    2: "R_X86_64_PC32",
    4: "R_X86_64_PLT32",
    10: "R_X86_64_32",
    11: "R_X86_64_32S",
    24: "R_X86_64_PC64",
}

ARCHITECTURE = Architecture(
    name="x86_64",
    uname=("x86_64",),
    title="x86-64",
    debian="amd64",
    flavours=("cloud-amd64", "amd64"),
    kbuild="x86_64",
    srcarch="x86",
    triple="x86_64-linux-gnu",
    elf_machine=62,
    elf_machine_name="EM_X86_64",
    bits=64,
    order="<",
    ident_ignored=True,
    vermagic=(),
    rela=True,
    relocations=_RELOCATIONS,
    loader_relocations=frozenset(_RELOCATIONS),
    unknown_relocation="ENOEXEC",
    loader_writes=LoaderWrites(
        width={1: 8, 2: 4, 4: 4, 10: 4, 11: 4, 24: 8}, unsigned_32=10, signed_32=11, pointer=1, distance=2
    ),
    loader_sections=(),
    # Assemblers before 2.37 leave it unreferenced in modules compiled by clang.
    linker_symbols=("_GLOBAL_OFFSET_TABLE_",),
    # MODULES_VADDR with nokaslr, MODULES_END; Documentation/arch/x86/x86_64/mm.rst.
    module_addresses=(0xFFFFFFFFA0000000, 0xFFFFFFFFFEFFFFFF),
    oops_pc="RIP: [0-9a-f]{4}:",
    interrupt_entry=r"asm_(?:sysvec|common|exc)_\w+|end_repeat_nmi|(?:apic_timer|common|ret_from)_intr\w*",
    qemu="qemu-system-x86_64",
    qemu_package="qemu-system-x86",
    # The virtio-mmio bus only: boots in a third of the time of a PC.
    machine="microvm",
    # No old interrupt controller: Linux finds it needless (ACPI says so), and leaves it as it is; under
    # QEMU 10 one of its ticks, pending when interrupts are first let in, looked like a division by zero in
    # six boots of ten.
    machine_options=("pic=off",),
    # Without cmpxchg16b: TCG's own is not atomic against its interrupts, and 6.12, whose allocator uses it
    # on per-CPU data, dies of it in six boots of ten.
    pci_options=("pcie=on",),
    cpu={"kvm": "host", "tcg": "max,-cx16"},
    console="ttyS0",
    agent_device="virtio-serial-device",
    agent_drivers=("virtio_mmio", "virtio_console"),
    image="pvh",
    cmdline=(),
    # Else calibration against the timer hangs for ever when the host is busy (9 of 15 boots).
    counter_parameter="tsc_early_khz",
    initramfs_in_memory=True,
    boot_patience=1,
    agent_header="x86_64.h",
    agent_flags=("-fcf-protection=none",),
    takes_certificates=True,
    panics_on_nmi=True,
)
