"""What this machine has of what kscaffold needs, each with the command that mends it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kscaffold import process
from kscaffold.files import paths
from kscaffold.kernel import choose, store
from kscaffold.kernel.buildable import build_problem
from kscaffold.packages import apt
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import accelerator, guest, snapshot

State = Literal["good", "missing", "remark"]


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing looked at. `missing` keeps a command from working, a `remark` only slows or limits it."""

    what: str
    state: State
    text: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All findings, and the bytes that the cache takes: kernels, snapshots."""

    findings: tuple[Observation, ...]
    kernels: int
    snapshots: int

    @property
    def ok(self) -> bool:
        """Nothing is missing."""
        return all(f.state != "missing" for f in self.findings)


def doctor() -> DoctorReport:
    """Look at everything. Starts no guest but the accelerator's probe, fetches nothing."""
    findings = [*map(_program, ("make", "gcc")), _qemu(), _kernel(), _packages(), _modules(), _signing()]
    findings.append(_sandboxes())
    kernels = sum(
        int(store.details(k.release).get("bytes", 0)) for k in store.known() if k.source == "fetched"
    )
    snapshots = sum(size for _, _, size, _ in snapshot.all_snapshots())
    return DoctorReport(tuple(findings), kernels, snapshots)


def _program(name: str) -> Observation:
    path = process.which(name)
    if path:
        return Observation(name, "good", path)
    package = process.PACKAGE_OF.get(name, name)
    return Observation(
        name, "missing", "needed to build", f"sudo apt-get install --no-install-recommends {package}"
    )


def _qemu() -> Observation:
    path = process.which(guest.PROGRAM)
    if path is None:
        fix = f"sudo apt-get install {process.PACKAGE_OF[guest.PROGRAM]}"
        return Observation("sandbox", "missing", f"{guest.PROGRAM} is not installed", fix)
    probe = accelerator.probe(path)
    if probe.why:
        return Observation("sandbox", "remark", f"{path} without KVM: {probe.why}")
    return Observation("sandbox", "good", f"{path} with KVM")


def _kernel() -> Observation:
    kernel = choose.find_kernel(None)
    if kernel is None:
        return Observation("kernel", "remark", "none yet: the first command that needs one fetches it")
    problem = build_problem(kernel)
    if problem is not None:
        return Observation("kernel", "missing", f"{kernel.release}: {problem.what}", problem.fix)
    return Observation("kernel", "good", f"{kernel.release} ({kernel.origin})")


def _packages() -> Observation:
    problem = apt.why_not()
    if problem is not None:
        return Observation("fetching", "remark", problem.what, problem.fix)
    return Observation(
        "fetching", "good", "kernels come through this machine's own apt sources, without root"
    )


def _modules() -> Observation:
    """Whether `--host` could load anything."""
    if not Path("/proc/modules").exists():
        return Observation("this machine", "remark", "its kernel has no loadable modules: --host can't work")
    if process.which("insmod") is None:
        return Observation(
            "this machine", "remark", "no insmod: only --host needs it", "sudo apt-get install kmod"
        )
    who = "root" if os.geteuid() == 0 else "sudo" if process.which("sudo") else None
    if who is None:
        return Observation("this machine", "remark", "neither root nor sudo: --host can't load")
    return Observation("this machine", "good", f"{os.uname().release}; --host loads as {who}")


def _signing() -> Observation:
    path = process.which("openssl")
    if path is None:
        fix = "sudo apt-get install --no-install-recommends openssl"
        return Observation("signing", "remark", "no openssl: only sign needs it", fix)
    key = paths.data() / "signing"
    state = f"its key is in {key}" if key.exists() else "its key is made on the first use"
    return Observation("signing", "good", f"{path}; {state}")


def _sandboxes() -> Observation:
    cards = registry.all_sandboxes()
    if not cards:
        return Observation("sandboxes", "good", f"none is running; they live in {paths.runtime()}")
    memory = sum(c.rss for c in cards)
    return Observation("sandboxes", "good", f"{len(cards)} running, {memory / 1e6:.0f} MB of memory")
