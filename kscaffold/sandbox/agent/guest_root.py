"""What the guest starts from: the agent built, the channel's drivers found, the set-up lines."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.diagnosis import trace
from kscaffold.elf.decompress import decompress_module
from kscaffold.errors import KscaffoldError
from kscaffold.files import executable, paths
from kscaffold.files.temporary import temporary_directory
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox.agent import initramfs

# No library, no headers, nothing that differs between two machines with the same compiler.
_FLAGS = [
    *("-O2", "-ffreestanding", "-nostdlib", "-nostdinc", "-static", "-fno-pie", "-no-pie", "-s"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack"),
]

# What the drivers of the agent's port depend on, where it is not built in.
_VIRTIO = ("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev")

_HERE = Path(__file__).parent  # not importlib.resources: 5 ms, and the package is always a directory
_INCLUDED = b'#include "generic.h"\n'
_TRACING = "/sys/kernel/tracing"
_EVENTS = (
    "module/module_load",
    "module/module_free",
    "initcall",
    "syscalls/sys_enter_finit_module",
    "syscalls/sys_exit_finit_module",
)


def own_modules() -> frozenset[str]:
    """Modules of the agent's port: a guest has them before anybody loads one, whatever machine it is."""
    return frozenset(_VIRTIO).union(*(architecture.agent_drivers for architecture in table.every()))


def setup() -> dict[str, list[str]]:
    """The lines that the agent writes before it is ready, by file, in this order. A file that the kernel
    has not is passed over.
    """
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
        # A guest that answers nothing is sent an interrupt that nothing masks (Guest.interrogate): the panic
        # tells where it was.
        "/proc/sys/kernel/panic_on_unrecovered_nmi": ["1"],
        # Started with `-q -- NAME` for each request_module(): the agent asks the host.
        "/proc/sys/kernel/modprobe": ["/init"],
        # A program that logs must not be slowed or cut.
        "/proc/sys/kernel/printk_devkmsg": ["on"],
    }


def initramfs_version(architecture: Architecture) -> str:
    """A digest of all that makes one guest root differ from another on the same kernel."""
    text = repr((setup(), _flags(architecture), architecture.agent_drivers))
    return hashlib.sha256(_source(architecture) + text.encode()).hexdigest()


def build_initramfs(kernel: Kernel) -> bytes:
    """The initramfs for a kernel. Raises KscaffoldError without a compiler, and KS602 for a machine that the
    agent has no header for.
    """
    architecture = guest_architecture(kernel.arch)
    with compiled_agent(architecture) as program:
        return initramfs.archive(program.read_bytes(), _drivers(kernel, architecture), setup())


def guest_architecture(machine: str) -> Architecture:
    """The architecture that `uname -m` calls `machine`. Raises KscaffoldError KS602 where the agent is not
    written for it.
    """
    architecture = table.by_uname(machine)
    if architecture is None or not _header(architecture).is_file():
        raise KscaffoldError(
            "KS602",
            f"no sandbox for {machine}",
            cause="the guest's agent is not written for this machine",
            fix="load on this machine's own kernel: kscaffold load --host",
        )
    return architecture


@contextlib.contextmanager
def compiled_agent(architecture: Architecture) -> Iterator[Path]:
    """The agent's program, built once for each version of its source and kept in the cache; where that can't
    be written, in a directory that goes again.
    """
    built = paths.cache() / "guest" / agent_name(architecture)
    source = _source(architecture)
    if executable.is_genuine(built):
        yield built
        return
    with temporary_directory() as place:
        made = place / "agent"
        argv = [compiler(architecture), *_flags(architecture), "-o", str(made), "-x", "c", "-"]
        done = process.run(argv, timeout=60, stdin=source)
        if done.returncode:
            said = done.stderr.strip()[-2000:]
            raise KscaffoldError("KS603", "the guest's agent can't be built", cause=said)
        with contextlib.suppress(OSError):
            paths.make_own(built.parent)
            executable.keep(built, made.read_bytes())
        yield built if executable.is_genuine(built) else made


def agent_name(architecture: Architecture) -> str:
    """The file name of this version's agent for a machine in the cache."""
    return f"agent-{hashlib.sha256(_source(architecture)).hexdigest()[:16]}"


def agent_names() -> frozenset[str]:
    """The file names of this version's agents, for every machine that there is one for."""
    return frozenset(agent_name(a) for a in table.every() if _header(a).is_file())


def _header(architecture: Architecture) -> Path:
    return _HERE / "arch" / architecture.agent_header


def _source(architecture: Architecture) -> bytes:
    """The agent for one machine: its header, then the program, each with its own lines in messages. What
    a header includes is put in: the compiler reads all of it from its standard input.
    """
    header, program = _header(architecture), _HERE / "agent.c"
    parts = [f'#line 1 "{file.name}"\n'.encode() + file.read_bytes() for file in (header, program)]
    if _INCLUDED in parts[0]:
        parts[0] = parts[0].replace(_INCLUDED, (_HERE / "generic.h").read_bytes())
    return b"".join(parts)


def _flags(architecture: Architecture) -> list[str]:
    return [*_FLAGS, *architecture.agent_flags]


def compiler(architecture: Architecture) -> str:
    """The path of a C compiler for programs of a guest. Raises ToolMissingError where there is none."""
    names = ["gcc", "cc", "gcc-12", "gcc-14", "clang"]
    if architecture is not table.host():
        names = [f"{architecture.triple}-{name}" for name in ("gcc", "gcc-12", "gcc-14")]
    for name in names:
        path = process.which(name)
        if path:
            return path
    return process.need(names[0], None if names[0] == "gcc" else architecture.compiler_package())


def _drivers(kernel: Kernel, architecture: Architecture) -> list[bytes]:
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

    for name in architecture.agent_drivers:
        add(name)
    return list(found.values())


def _depends(ko: bytes) -> list[str]:
    """`depends=` of a driver's .modinfo. These are the distribution's own files: a search is enough."""
    start = ko.find(b"\0depends=")
    if start < 0:
        return []
    value = ko[start + 9 : ko.index(b"\0", start + 9)].decode()
    return [name.replace("-", "_") for name in value.split(",") if name]
