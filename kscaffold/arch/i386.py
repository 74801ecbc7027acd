"""32-bit x86."""

from kscaffold.arch.architecture import Architecture

# The types that the module loader applies: apply_relocate() in arch/x86/kernel/module.c.
_RELOCATIONS = {
    0: "R_386_NONE",
    1: "R_386_32",
    2: "R_386_PC32",
    4: "R_386_PLT32",
}

ARCHITECTURE = Architecture(
    name="i686",
    uname=("i686", "i586", "i486", "i386"),
    title="32-bit x86",
    debian="i386",
    flavours=("686-pae", "686"),
    kbuild="i386",
    srcarch="x86",
    triple="i686-linux-gnu",
    elf_machine=3,
    elf_machine_name="EM_386",
    bits=32,
    order="<",
    ident_ignored=False,
    # MODULE_PROC_FAMILY.
    vermagic=(
        (
            ("M486", "486 "),
            ("M586", "586 "),
            ("M586TSC", "586TSC "),
            ("M586MMX", "586MMX "),
            ("M686", "686 "),
            ("MPENTIUM4", "PENTIUM4 "),
            ("MK7", "K7 "),
            ("MGEODE_LX", "GEODE "),
        ),
    ),
    rela=False,
    relocations=_RELOCATIONS,
    loader_relocations=frozenset({1, 2, 4}),
    unknown_relocation="ENOEXEC",
    loader_writes=None,
    loader_sections=(),
    linker_symbols=("_GLOBAL_OFFSET_TABLE_",),
    module_addresses=None,
    oops_pc="EIP: ",
    qemu="qemu-system-i386",
    qemu_package="qemu-system-x86",
    machine="microvm",
    machine_options=("pic=off",),
    pci_options=("pcie=on",),
    cpu={"kvm": "host", "tcg": "max"},
    console="ttyS0",
    agent_device="virtio-serial-device",
    agent_drivers=("virtio_mmio", "virtio_console"),
    image="bzImage",
    cmdline=(),
    counter_parameter="tsc_early_khz",
    initramfs_in_memory=True,
    boot_patience=2,
    agent_header="i386.h",
    agent_flags=("-fcf-protection=none",),
)
