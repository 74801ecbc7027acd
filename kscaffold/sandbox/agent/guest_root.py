"""What the guest starts from: the agent built, the channel's drivers found, the set-up lines."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from kscaffold import process
from kscaffold.diagnosis import trace
from kscaffold.elf.decompress import decompress_module
from kscaffold.errors import KscaffoldError
from kscaffold.files import executable, paths
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox.agent import initramfs

# No library, no headers, nothing that differs between two machines with the same compiler.
_FLAGS = [
    *("-O2", "-ffreestanding", "-nostdlib", "-nostdinc", "-static", "-fno-pie", "-no-pie", "-s"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack"),
]

_CHANNEL_DRIVERS = ("virtio_mmio", "virtio_console")
OWN_MODULES = frozenset({*_CHANNEL_DRIVERS, "virtio", "virtio_ring"})
"""Modules that a guest has before anybody loads one: the channel's drivers, and what those need."""

_TRACING = "/sys/kernel/tracing"
_EVENTS = (
    "module/module_load",
    "module/module_free",
    "initcall",
    "syscalls/sys_enter_finit_module",
    "syscalls/sys_exit_finit_module",
)


def setup() -> dict[str, list[str]]:
    """What the agent writes where before it is ready, in this order. What a kernel lacks fails silently."""
    return {
        f"{_TRACING}/tracing_on": ["0"],
        # As fast as printk's, but not the same: the two differ by seconds, so their times are not mixed.
        f"{_TRACING}/trace_clock": ["local"],
        f"{_TRACING}/kprobe_events": trace.probes(trace.anchors()),
        **{f"{_TRACING}/events/{event}/enable": ["1"] for event in (*_EVENTS, "ks")},
        # Delays of 20 to 120 s are for servers.
        "/proc/sys/kernel/watchdog_thresh": ["3"],
        "/proc/sys/kernel/hung_task_timeout_secs": ["4"],
        "/proc/sys/kernel/hung_task_check_interval_secs": ["1"],
        "/proc/sys/kernel/printk_ratelimit": ["0"],
        # A program that logs must not be slowed or cut.
        "/proc/sys/kernel/printk_devkmsg": ["on"],
    }


def initramfs_version() -> str:
    """A digest of all that makes one guest root differ from another on the same kernel."""
    text = repr((setup(), _FLAGS, _CHANNEL_DRIVERS))
    return hashlib.sha256(_source() + text.encode()).hexdigest()


def build_initramfs(kernel: Kernel) -> bytes:
    """The initramfs for a kernel. Raises KscaffoldError without a compiler or the channel's drivers."""
    with compiled_agent() as program:
        return initramfs.archive(program.read_bytes(), _drivers(kernel), setup())


@contextlib.contextmanager
def compiled_agent() -> Iterator[Path]:
    """The agent's program, built once for each version of its source and kept in the cache; where that can't
    be written, in a directory that goes again.
    """
    if os.uname().machine != "x86_64":
        raise KscaffoldError(
            "KS602",
            f"no sandbox on {os.uname().machine}",
            cause="the guest's agent is written for x86-64",
            fix="load on this machine's own kernel: kscaffold load --host",
        )
    source = _source()
    built = paths.cache() / "guest" / agent_name()
    if executable.is_genuine(built):
        yield built
        return
    with tempfile.TemporaryDirectory(prefix="kscaffold-agent-") as place:
        made = Path(place) / "agent"
        argv = [_compiler(), *_FLAGS, "-o", str(made), "-x", "c", "-"]
        done = process.run(argv, timeout=60, stdin=source)
        if done.returncode:
            said = done.stderr.strip()[-2000:]
            raise KscaffoldError("KS603", "the guest's agent can't be built", cause=said)
        with contextlib.suppress(OSError):
            paths.make_own(built.parent)
            executable.keep(built, made.read_bytes())
        yield built if executable.is_genuine(built) else made


def agent_name() -> str:
    """The file name of this version's agent in the cache."""
    return f"agent-{hashlib.sha256(_source()).hexdigest()[:16]}"


def _source() -> bytes:
    return files("kscaffold.sandbox.agent").joinpath("agent.c").read_bytes()


def _compiler() -> str:
    for name in ("gcc", "cc", "gcc-12", "gcc-14", "clang"):
        path = process.which(name)
        if path:
            return path
    return process.need("gcc")


def _drivers(kernel: Kernel) -> list[bytes]:
    """The channel's drivers with what they depend on, first things first; what is built in is left out."""
    if kernel.modules is None:
        return []
    at = {p.name.partition(".ko")[0].replace("-", "_"): p for p in kernel.modules.rglob("*.ko*")}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in found or name not in at:
            return
        ko = decompress_module(at[name])
        for needed in _depends(ko):
            add(needed)
        found[name] = ko

    for name in _CHANNEL_DRIVERS:
        add(name)
    return list(found.values())


def _depends(ko: bytes) -> list[str]:
    """`depends=` of a driver's .modinfo. These are the distribution's own files: a search is enough."""
    start = ko.find(b"\0depends=")
    if start < 0:
        return []
    value = ko[start + 9 : ko.index(b"\0", start + 9)].decode()
    return [name.replace("-", "_") for name in value.split(",") if name]
