"""Which guest is wanted: its kernel, its machine and its snapshot, found out before anything is started."""

import contextlib
from pathlib import Path

from kscaffold import process
from kscaffold.errors import UsageError
from kscaffold.kernel import store
from kscaffold.kernel.kernel import Kernel
from kscaffold.records import dataclass
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.vm import accelerator, qemu, snapshot
from kscaffold.sandbox.vm.restore_probe import restores_live


@dataclass(frozen=True, slots=True)
class Plan:
    """A guest that can be started. `key`: the name of its snapshot. `why_no_kvm`: None with KVM. `probed`:
    the accelerator was probed just now. `trusted`: certificates (DER) that its kernel has besides its own.
    `restorable`: False where this QEMU restores no guest of this machine alive, so that each one boots.
    `frozen`: the snapshot to start from in the place of the cache's: a checkpoint.
    """

    kernel: Kernel
    program: str
    machine: qemu.Machine
    key: str
    why_no_kvm: str | None
    probed: bool
    trusted: tuple[bytes, ...] = ()
    restorable: bool = True
    frozen: snapshot.Snapshot | None = None


def plan_vm(
    kernel: Kernel, cmdline: str = "", trusted: tuple[bytes, ...] = (), devices: tuple[str, ...] = ()
) -> Plan:
    """Find QEMU, the kernel's image and the accelerator. `devices`: as QEMU's -device takes them.

    Raises KscaffoldError for what is missing, UsageError KS004 for devices where there is no PCI bus, and
    KS540 where the kernel can't be given the certificates in `trusted`.
    """
    architecture = guest_root.guest_architecture(kernel.arch)
    if devices and architecture.pci_options is None:
        raise UsageError(
            "KS004", f"--device: a sandbox of {architecture.title} has no PCI bus", fix="leave it out"
        )
    program = process.need(architecture.qemu, architecture.qemu_package)
    vmlinux = _image(kernel, trusted)
    probe = accelerator.probe(program, architecture)
    machine = qemu.Machine(
        architecture=architecture,
        vmlinux=vmlinux,
        accelerator=probe.accelerator,
        cmdline=" ".join(cmdline.split()),
        devices=devices,
    )
    cpu = architecture.cpu[probe.accelerator] + (_host_cpu() if probe.accelerator == "kvm" else "")
    key = snapshot.snapshot_key(program, kernel, machine, cpu)
    restorable = restores_live(program, architecture)
    return Plan(kernel, program, machine, key, probe.why, probe.fresh, trusted, restorable)


def _image(kernel: Kernel, trusted: tuple[bytes, ...]) -> Path:
    if not trusted:
        return store.bootable(kernel)
    from kscaffold.kernel import trusted_image  # start-up time: few kernels need it

    return trusted_image.trusted_image(kernel, trusted)


def _host_cpu() -> str:
    """The host's CPU model: with KVM the guest has its features."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:  # noqa: PTH123
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""
