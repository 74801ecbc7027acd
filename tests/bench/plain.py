"""The same job without a snapshot: load and unload hello and read its log, one boot for each time."""

import contextlib
import shutil
import subprocess
from pathlib import Path

from kscaffold import process
from kscaffold.arch.x86_64 import ARCHITECTURE as X86_64
from kscaffold.sandbox.agent import initramfs
from kscaffold.sandbox.vm.boot import counter_khz
from tests.bench.timing import BenchError, Case, Took, checked
from tests.bench.world import World

_INIT = Path(__file__).with_name("init.c")
_RUN = "kscaffold run, hello, beside the boots"
_PC = "plain QEMU, cold boot (pc, vmlinuz)"
_MICROVM = "plain QEMU, cold boot (microvm, vmlinux)"
_VIRTME = "virtme-ng"
# virtme-ng's QEMU opens its standard output by name, several times: a file would be cut.
_PIPED = ("sh", "-c", '"$@" 2>&1 </dev/null | cat', "sh")
NAMES = (_RUN, _PC, _MICROVM, _VIRTME)


def cases(world: World) -> list[Case]:
    """Plain QEMU as most people start it, plain QEMU at its quickest, virtme-ng; and `run` beside them."""
    root = _root(world)
    planned = world.planned()
    accelerator = planned.machine.accelerator
    image = world.kernel.image
    assert image
    return [
        Case(_RUN, lambda: world.kscaffold("run"), prepare=world.freeze),
        Case(
            _PC,
            lambda: _boot(["-machine", "pc", "-kernel", str(image)], root, accelerator),
            against=(_RUN,),
        ),
        Case(
            _MICROVM,
            lambda: _boot(
                ["-machine", "microvm", "-kernel", str(planned.machine.vmlinux)], root, accelerator
            ),
            against=(_RUN,),
        ),
        _virtme(world, image, accelerator),
    ]


def _root(world: World) -> Path:
    """An initramfs of init.c and hello."""
    init = world.place / "init"
    flags = ["-O2", "-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector"]
    subprocess.run(["gcc", *flags, "-o", init, _INIT], check=True, timeout=60)
    root = world.place / "initramfs"
    root.write_bytes(initramfs.archive(init.read_bytes(), [world.ko.read_bytes()], {}))
    return root


def _boot(machine: list[str], root: Path, accelerator: str) -> Took:
    took, said = checked(
        [
            process.need(X86_64.qemu, X86_64.qemu_package),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "256M"),
            *("-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "max"),
            *machine,
            *("-initrd", str(root), "-append", f"console=ttyS0 quiet panic=-1 {_calibration(machine)}"),
            *("-serial", "stdio"),
        ],
        cwd=root.parent,
        timeout=90,
    )
    if "bench: done" not in said:
        raise BenchError(f"plain QEMU did not do the job:\n{said[-2000:]}")
    return took


def _calibration(machine: list[str]) -> str:
    """Else a microvm without KVM hangs now and then while this machine is busy (vm/boot.py)."""
    khz = counter_khz(X86_64)
    return f"tsc_early_khz={khz}" if khz and "microvm" in machine else ""


def _virtme(world: World, image: Path, accelerator: str) -> Case:
    """virtme-ng with its quickest way to share files that works here, if it is installed and one does."""
    vng = shutil.which("vng")
    if vng is None:
        return Case(_VIRTME, _never, why_not="not installed (pip install virtme-ng)")
    if world.kernel.modules is None:
        return Case(_VIRTME, _never, why_not="this kernel's modules are not here")
    # It writes modules.dep beside the modules: into a copy.
    tree = world.place / "virtme"
    (tree / "boot").mkdir(parents=True)
    shutil.copy(image, tree / "boot")
    shutil.copytree(world.kernel.modules, tree / "lib/modules" / world.kernel.release, symlinks=True)
    job = f"{_tool('insmod')} {world.ko} && {_tool('rmmod')} hello && dmesg | tail -n 5"

    def boot(*sharing: str) -> Took:
        kvm = [] if accelerator == "kvm" else ["--disable-kvm"]
        image_of_it = tree / "boot" / image.name
        took, said = checked(
            [*_PIPED, vng, *kvm, *sharing, "--run", image_of_it, "--", job], cwd=tree, timeout=90
        )
        # Its console loses lines now and then: the kernel's own of hello's init and exit are proof enough.
        if said.count("] hello: ") < 2:
            raise BenchError(f"virtme-ng did not do the job:\n{said[-2000:]}")
        return took

    working: dict[tuple[str, ...], float] = {}
    # Without udev in the guest what the job prints is seen on the console only, with -v.
    for sharing in ((), ("--force-9p",), ("--force-9p", "--verbose")):
        with contextlib.suppress(BenchError):
            working[sharing] = boot(*sharing).seconds
    if not working:
        why = "installed, but fails on this kernel here, over virtiofs and over 9p (a cloud kernel has no 9p)"
        return Case(_VIRTME, _never, why_not=why)
    best = min(working, key=lambda sharing: working[sharing])
    return Case(" ".join((_VIRTME, *best)), lambda: boot(*best), against=(_RUN,))


def _tool(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"


def _never() -> Took:
    raise BenchError("unreachable")
