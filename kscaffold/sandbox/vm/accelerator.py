"""Which accelerator works here. A /dev/kvm that opens proves nothing: nested and container hosts have
ones that abort QEMU, or spin in the host's kernel for ever. Three proofs are asked for, each only after the
one before, since a guest that spins can't always be ended: the processor has what KVM is made of; a guest
of three instructions says its byte; and the first boot with KVM comes up in time (vm/start.py), else KVM
is marked as broken until the host boots again.
"""

import contextlib
import json
import os
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import DeadlineError, UsageError
from kscaffold.files import paths
from kscaffold.files.atomic import write_whole
from kscaffold.files.temporary import temporary_directory
from kscaffold.records import dataclass
from kscaffold.sandbox.vm.qemu import Accelerator

_DEADLINE = 3.0  # s; a working KVM needs 0.1
_PROOF = 0x2A
_DEVICE = Path("/dev/kvm")


@dataclass(frozen=True, slots=True)
class Probe:
    """The accelerator to use, and why it is not KVM. `fresh`: this call probed it."""

    accelerator: Accelerator
    why: str | None
    fresh: bool = False


def probe(program: str, guest: Architecture | None = None) -> Probe:
    """The accelerator for this QEMU and a guest of this architecture (None: this machine's), probed once per
    boot of the host. KSCAFFOLD_ACCEL overrides it.
    """
    host = table.host()
    if guest is not None and guest is not host:
        return Probe("tcg", f"the guest is {guest.title}, this machine is {os.uname().machine}")
    forced = os.environ.get("KSCAFFOLD_ACCEL")
    if forced == "tcg":
        return Probe("tcg", "KSCAFFOLD_ACCEL=tcg")
    if forced == "kvm":
        return Probe("kvm", None)
    if forced:
        raise UsageError(
            "KS601", f"KSCAFFOLD_ACCEL={forced} is neither kvm nor tcg", fix="unset KSCAFFOLD_ACCEL"
        )
    if not _DEVICE.exists():
        return Probe("tcg", "there is no /dev/kvm")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return Probe("tcg", "this user may not open /dev/kvm (sudo adduser $USER kvm, then log in again)")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = paths.recorded(_file())
        if known["key"] == _key(program):
            return Probe("tcg" if known["why"] else "kvm", known["why"])
    why = None
    if host is not None and host.srcarch == "x86":  # elsewhere the first boot is the proof
        why = missing_cpu_feature(Path("/proc/cpuinfo").read_text()) or _try_kvm(program)
    _remember(program, why)
    return Probe("tcg" if why else "kvm", why, fresh=True)


def mark_kvm_broken(program: str, why: str) -> None:
    """Remember that KVM passed the probe and then failed a real guest. It is not used until a reboot."""
    _remember(program, why)


def missing_cpu_feature(cpuinfo: str) -> str | None:
    """The reason why the processor can't run KVM, by the text of /proc/cpuinfo; None where it can. Without
    vmx or svm, /dev/kvm is emulated by software (kvm_pvm, say), and a kernel not made for that spins in it.
    """
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "").split()
    if "vmx" in flags or "svm" in flags:
        return None
    return "/dev/kvm is there, but this processor offers no virtualisation (neither vmx nor svm)"


def _file() -> Path:
    return paths.cache() / "accelerator.json"


def _key(program: str) -> list[object]:
    return [_boot_id(), program, Path(program).stat().st_mtime_ns]


def _remember(program: str, why: str | None) -> None:
    with contextlib.suppress(OSError):
        paths.make_own(_file().parent)
        write_whole(_file(), json.dumps({"key": _key(program), "why": why}))


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _try_kvm(program: str) -> str | None:
    """Why KVM does not work here, None where it does."""
    with temporary_directory() as place:
        bios = place / "bios"
        bios.write_bytes(proof_of_life())
        try:
            done = process.run(probe_argv(program, bios), timeout=_DEADLINE)
        except DeadlineError:
            return f"/dev/kvm opens, but a guest of three instructions did not end within {_DEADLINE:g} s"
    if done.returncode == _PROOF << 1 | 1:
        return None
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return f"/dev/kvm opens, but does not work: {said}"


def probe_argv(program: str, bios: Path) -> list[str]:
    """QEMU with nothing but a firmware of ours and a port that ends it."""
    return [
        program,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "pc",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "1M",
        "-bios",
        str(bios),
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
    ]


def proof_of_life() -> bytes:
    """A firmware that says one byte: a 64 KiB image whose reset vector holds the program.

    mov al, 0x2a; out 0xf4, al; hlt. QEMU then exits with (0x2a << 1) | 1.
    """
    program = bytes([0xB0, _PROOF, 0xE6, 0xF4, 0xF4])
    return (b"\xf4" * 0xFFF0 + program).ljust(0x10000, b"\xf4")
