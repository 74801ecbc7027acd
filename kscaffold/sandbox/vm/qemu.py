"""QEMU's command line, as text; nothing is started here."""

from pathlib import Path
from typing import Literal

from kscaffold.arch.architecture import Architecture
from kscaffold.records import dataclass

Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a guest. Everything here is part of a snapshot's key.

    `memory` in MiB, `tsc_khz` the rate of the host's counter or None, `cmdline` the user's addition.
    `initramfs`: what a boot starts from, None for a restore, which is past that. `devices`: more on its
    PCI bus, as QEMU's -device takes them.
    """

    architecture: Architecture
    vmlinux: Path
    accelerator: Accelerator
    initramfs: "Initramfs | None" = None
    memory: int = 256
    cpus: int = 1
    tsc_khz: int | None = None
    cmdline: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Initramfs:
    """A file of `size` bytes. `at`: where it is put in the guest's memory; None where QEMU puts it."""

    file: Path
    size: int
    at: int | None


@dataclass(frozen=True, slots=True)
class Wires:
    """File descriptors QEMU inherits, and files it writes.

    `agent`, `monitor`: our sockets. `console`: where the kernel's last words go. `ram`: the file behind
    the guest's memory; `restore`: start from a state that the monitor will name. `private`: keep the guest's
    writes from the file.
    """

    agent: int
    monitor: int
    console: Path
    ram: Path
    restore: bool
    private: bool


def argv(program: str, machine: Machine, wires: Wires) -> list[str]:
    """The whole command line."""
    arch = machine.architecture
    return [
        program,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        # A panic asks for a reboot (panic=-1); QEMU ends then, which is how a panic is noticed at once.
        "-no-reboot",
        "-machine",
        ",".join((arch.machine, "memory-backend=ram", *arch.machine_options, *_pci(machine))),
        "-accel",
        machine.accelerator,
        "-cpu",
        arch.cpu[machine.accelerator],
        "-smp",
        str(machine.cpus),
        "-m",
        f"{machine.memory}M",
        # The guest's memory is a file: it is the snapshot, and every restore maps it privately.
        "-object",
        f"memory-backend-file,id=ram,size={machine.memory}M,mem-path={_escaped(wires.ram)},"
        f"share={'off' if wires.private else 'on'}",
        "-kernel",
        str(machine.vmlinux),
        *_initramfs(machine.initramfs),
        "-append",
        kernel_cmdline(machine),
        # Only the kernel's last words come here, never a result.
        "-serial",
        f"file:{wires.console}",
        "-device",
        arch.agent_device,
        "-chardev",
        f"socket,id=agent,fd={wires.agent}",
        "-device",
        "virtserialport,chardev=agent,name=kscaffold",
        "-chardev",
        f"socket,id=monitor,fd={wires.monitor}",
        "-mon",
        "chardev=monitor,mode=control",
        *_devices(machine),
        *(["-incoming", "defer"] if wires.restore else []),
    ]


# The slots before it are the machine's own.
_FIRST_SLOT = 0x10


def pci_address(number: int) -> str:
    """The PCI address of the `number`-th of the machine's further devices, from 0 on."""
    return f"0000:00:{_FIRST_SLOT + number:02x}.0"


def _devices(machine: Machine) -> list[str]:
    words = []
    for number, device in enumerate(machine.devices):
        words += ["-device", f"{device},addr={_FIRST_SLOT + number:#x}"]
    return words


def _pci(machine: Machine) -> tuple[str, ...]:
    """The options for a PCI bus, none where no device wants one: each boot looks for devices on the bus."""
    return machine.architecture.pci_options or () if machine.devices else ()


_MEGABYTE = 1 << 20


def _initramfs(initramfs: Initramfs | None) -> list[str]:
    if initramfs is None:
        return []
    if initramfs.at is None:
        return ["-initrd", str(initramfs.file)]
    # QEMU would put it at the end of memory, where some firmware (SeaBIOS, not qboot) has the ACPI tables.
    return ["-device", f"loader,file={_escaped(initramfs.file)},addr={initramfs.at:#x},force-raw=on"]


def kernel_cmdline(machine: Machine) -> str:
    """The guest kernel's command line; the user's addition comes last and wins."""
    words = [
        f"console={machine.architecture.console}",
        # Emergencies only: under TCG a flood of lines to a serial port takes minutes.
        "quiet",
        # A panic resets at once; its whole log is printed first where the kernel can (5.18 and later).
        "panic=-1",
        "panic_print=0x20",
        # With one CPU the agent would never run beside an init that does not end. (One: two cost a third
        # more time under TCG, and its clock then ticks in steps of 4 ms.)
        "preempt=full",
        # Room for a chatty module between two reads.
        "log_buf_len=4M",
        # A throwaway guest guards nothing; this makes boot and load faster.
        "mitigations=off",
        # A cache of the module's own stays its own, and its destruction tells of objects that are left in it.
        "slab_nomerge",
        # Its self-tests take a quarter of a second of each boot.
        "cryptomgr.notests",
        "random.trust_cpu=on",
    ]
    parameter = machine.architecture.counter_parameter
    if machine.accelerator == "tcg" and parameter and machine.tsc_khz:
        words.append(f"{parameter}={machine.tsc_khz}")
    if machine.initramfs and machine.initramfs.at is not None:
        at, size = machine.initramfs.at, machine.initramfs.size
        # The kernel hears of it too late to keep that memory from being used: it is set aside, and the kernel
        # then copies what is there before it looks at it.
        words += [f"initrdmem={at:#x},{size}", f"memmap={-(-size // _MEGABYTE)}M${at:#x}"]
    words += machine.architecture.cmdline
    if machine.cmdline:
        words.append(machine.cmdline)
    return " ".join(words)


def _escaped(path: Path) -> str:
    """A path inside a QEMU option: a comma is doubled."""
    return str(path).replace(",", ",,")
