"""The kernels the tests run on: found in the user's own cache, else fetched there, once per machine.

    def test_something(kernel):
        k = kernel("6.1")       # 5.10, 6.1 or 6.12; skips with the reason where it can't be had
        k = kernel("6.1", "s390x")      # of another machine, with its compiler and its QEMU

Give a test that boots or builds for one the mark `kernel` or `sandbox` as well.
"""

import functools
import os
from collections.abc import Callable

import pytest

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.fetch import fetch, is_prefix
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT
from tests.conftest import REAL_CACHE, REQUIRED, missing, need_program

# Where each series is found. The first suite that has it and whose host programs run here serves; None
# means the host's own suites (Debian 12 has 6.12 in its security suite, too).
SUITES: dict[str, tuple[str | None, ...]] = {
    "5.10": ("bullseye",),
    "6.1": (None, "bookworm"),
    "6.12": (None, "bookworm-backports", "trixie"),
}

# The series that other machines are tried with; riscv64 came to Debian with 13.
MACHINES = {
    "arm64": "6.1",
    "s390x": "6.1",
    "armhf": "6.1",
    "riscv64": "6.12",
    "ppc64el": "6.1",
    "i386": "6.1",
}
# Those that CI tries always; the others where KSCAFFOLD_REQUIRE names them.
ALWAYS = ("arm64", "s390x")
# Series and machine: this machine's kernels, and one of each other machine.
EVERYWHERE = [
    *((series, "amd64") for series in ("6.1", "5.10", "6.12")),
    *((series, arch) for arch, series in MACHINES.items()),
]
_SUITES_OF_MACHINES: dict[str, tuple[str | None, ...]] = {"riscv64": ("trixie",)}


# Beside the kernels of the small flavour the series of a full one would be ambiguous.
FULL_CACHE = REAL_CACHE / "kscaffold-tests" / "full"


@functools.cache
def find_or_fetch(series: str, arch: str = "amd64", full: bool = False) -> Kernel | KscaffoldError:
    """A kernel of a series and of a machine (Debian's name) that can be built for and booted, or why there is
    none. `full`: of its last flavour, which has all classes of devices, in FULL_CACHE.
    """
    machine = table.by_debian(arch)
    assert machine is not None
    flavour = machine.flavours[-1 if full else 0]
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(FULL_CACHE if full else REAL_CACHE)
    try:
        for kernel in store.known():
            ours = is_prefix(series, kernel.release) and kernel.release.endswith(f"-{flavour}")
            if ours and kernel.source == "fetched" and not build_problem(kernel):
                return kernel
        reason: KscaffoldError | None = None
        for suite in _SUITES_OF_MACHINES.get(arch, SUITES[series]):
            try:
                kernel = fetch(series, suite, SILENT, flavour if full else None, machine=machine).kernel
            except KscaffoldError as error:
                reason = error
                continue
            reason = build_problem(kernel)
            if reason is None:
                return kernel
        return reason or KscaffoldError("KS502", f"no suite is known for {series}")
    finally:
        if before is None:
            os.environ.pop("XDG_CACHE_HOME", None)
        else:
            os.environ["XDG_CACHE_HOME"] = before


def need_kernel(series: str = "6.1", arch: str = "amd64") -> Kernel:
    """A kernel of a series, or the test is skipped (failed where KSCAFFOLD_REQUIRE names `kernel`)."""
    found = find_or_fetch(series, arch)
    if isinstance(found, KscaffoldError):
        missing(
            "kernel",
            f"kscaffold kernel add {series} --arch {arch} ({found.what}: {found.cause or found.fix})",
        )
        raise found
    return found


def need_named(arch: str) -> None:
    """The test is skipped unless KSCAFFOLD_REQUIRE names the machine."""
    if arch not in REQUIRED:
        pytest.skip(f"tried where it is asked for: KSCAFFOLD_REQUIRE={arch}")


def need_machine(arch: str) -> Kernel:
    """A kernel of another machine with all that builds for it and boots it, or the test is skipped: one that
    CI tries always as `need_kernel` does, the others unless KSCAFFOLD_REQUIRE names them.
    """
    machine = table.by_debian(arch)
    assert machine is not None
    if arch not in ALWAYS:
        need_named(arch)
    need_program(machine.qemu, machine.qemu_package)
    need_program(f"{machine.triple}-gcc", machine.compiler_package())
    return need_kernel(MACHINES[arch], arch)


def need_either(series: str, arch: str) -> Kernel:
    """One of EVERYWHERE, or the test is skipped: on each other machine unless KSCAFFOLD_REQUIRE names it."""
    if arch != "amd64":
        need_named(arch)
        return need_machine(arch)
    need_program("qemu-system-x86_64", "qemu-system-x86")
    return need_kernel(series)


def only(release: str) -> Kernel:
    """The one kernel of a release that the store knows."""
    (kernel,) = (k for k in store.known() if k.release == release)
    return kernel


@pytest.fixture
def full_kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A 6.1 with all classes of devices (USB, I2C, SPI), in a cache of its own, which is the test's now."""
    found = find_or_fetch("6.1", full=True)
    if isinstance(found, KscaffoldError):
        missing(
            "kernel",
            f"XDG_CACHE_HOME={FULL_CACHE} kscaffold kernel add 6.1 --flavour amd64 "
            f"({found.what}: {found.cause or found.fix})",
        )
        raise found
    monkeypatch.setenv("XDG_CACHE_HOME", str(FULL_CACHE))
    return found


@pytest.fixture
def kernel() -> Callable[..., Kernel]:
    """`kernel("6.1")`: a kernel of a series, of this machine or another."""
    return need_kernel
