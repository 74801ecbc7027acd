"""QEMU's command line, as text; nothing is started here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Accelerator = Literal["kvm", "tcg"]


CPU: dict[Accelerator, str] = {
    "kvm": "host",
    # Without cmpxchg16b: TCG's own is not atomic against its interrupts, and 6.12, whose allocator uses it
    # on per-CPU data, dies of it in six boots of ten.
    "tcg": "max,-cx16",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a guest is made of. Everything here is part of a snapshot's key.

    `memory` in MiB, `tsc_khz` the host's time stamp counter or None, `cmdline` the user's addition.
    `initramfs`: what a boot starts from, None for a restore, which is past that.
    """

    vmlinux: Path
    accelerator: Accelerator
    initramfs: "Initramfs | None" = None
    memory: int = 256
    cpus: int = 1
    tsc_khz: int | None = None
    cmdline: str = ""


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
    the guest's memory; `restore`: start from a state that the monitor will name, and keep the guest's
    writes to itself, where a boot writes into the file.
    """

    agent: int
    monitor: int
    console: Path
    ram: Path
    restore: bool


def argv(program: str, machine: Machine, wires: Wires) -> list[str]:
    """The whole command line."""
    return [
        program,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        # A panic asks for a reboot (panic=-1); QEMU ends then, which is how a panic is noticed at once.
        "-no-reboot",
        # The virtio-mmio bus only: boots in a third of the time of a PC. No old interrupt controller: Linux
        # finds it needless (ACPI says so), and leaves it as it is; under QEMU 10 one of its ticks, pending
        # when interrupts are first let in, looked like a division by zero in six boots of ten.
        "-machine",
        "microvm,memory-backend=ram,pic=off",
        "-accel",
        machine.accelerator,
        "-cpu",
        CPU[machine.accelerator],
        "-smp",
        str(machine.cpus),
        "-m",
        f"{machine.memory}M",
        # The guest's memory is a file: it is the snapshot, and every restore maps it privately.
        "-object",
        f"memory-backend-file,id=ram,size={machine.memory}M,mem-path={_escaped(wires.ram)},"
        f"share={'off' if wires.restore else 'on'}",
        "-kernel",
        str(machine.vmlinux),
        *_initramfs(machine.initramfs),
        "-append",
        kernel_cmdline(machine),
        # Only the kernel's last words come here, never a result.
        "-serial",
        f"file:{wires.console}",
        "-device",
        "virtio-serial-device",
        "-chardev",
        f"socket,id=agent,fd={wires.agent}",
        "-device",
        "virtserialport,chardev=agent,name=kscaffold",
        "-chardev",
        f"socket,id=monitor,fd={wires.monitor}",
        "-mon",
        "chardev=monitor,mode=control",
        *(["-incoming", "defer"] if wires.restore else []),
    ]


_MEGABYTE = 1 << 20


def _initramfs(initramfs: Initramfs | None) -> list[str]:
    if initramfs is None:
        return []
    if initramfs.at is None:
        return ["-initrd", str(initramfs.file)]
    # QEMU would put it at the end of memory, where some firmware (SeaBIOS, not qboot) has the ACPI tables.
    return ["-device", f"loader,file={_escaped(initramfs.file)},addr={initramfs.at:#x},force-raw=on"]


def kernel_cmdline(machine: Machine) -> str:
    """What the guest's kernel is told; the user's addition comes last and wins."""
    words = [
        "console=ttyS0",
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
        # Its self-tests take a quarter of a second of each boot.
        "cryptomgr.notests",
        "random.trust_cpu=on",
    ]
    if machine.accelerator == "tcg" and machine.tsc_khz:
        # Else calibration against the timer hangs for ever when the host is busy (9 of 15 boots).
        words.append(f"tsc_early_khz={machine.tsc_khz}")
    if machine.initramfs and machine.initramfs.at is not None:
        at, size = machine.initramfs.at, machine.initramfs.size
        # The kernel hears of it too late to keep that memory from being used: it is set aside, and the kernel
        # then copies what is there before it looks at it.
        words += [f"initrdmem={at:#x},{size}", f"memmap={-(-size // _MEGABYTE)}M${at:#x}"]
    if machine.cmdline:
        words.append(machine.cmdline)
    return " ".join(words)


def _escaped(path: Path) -> str:
    """A path inside a QEMU option: a comma is doubled."""
    return str(path).replace(",", ",,")
