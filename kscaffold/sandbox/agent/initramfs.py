"""The guest's root: an archive in memory with the agent, the channel's drivers and the set-up lines."""

from collections.abc import Mapping

from kscaffold.records import dataclass

_TRAILER = "TRAILER!!!"
_REGULAR = 0o100755
_DIRECTORY = 0o040755
_CHARACTER = 0o020600
_LINK = 0o120777
# What the kernel starts for orderly_poweroff() and orderly_reboot() (kernel/reboot.c).
_ENDERS = ("sbin/poweroff", "sbin/reboot")


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of the archive. `device`: (major, minor) for a character device."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(agent: bytes, drivers: list[bytes], setup: Mapping[str, list[str]]) -> bytes:
    """The initramfs as a cpio archive (newc, uncompressed: the kernel unpacks that fastest).

    `drivers`: .ko files in the order the agent loads them. `setup`: values by the path of the guest's
    file they are written to, in order.
    """
    lines = "".join(f"{path}\t{value}\n" for path, values in setup.items() for value in values)
    nodes = [
        Node("dev", _DIRECTORY),
        # Until devtmpfs is mounted; the kernel opens it for PID 1's standard streams.
        Node("dev/console", _CHARACTER, device=(5, 1)),
        Node("drivers", _DIRECTORY),
        *(Node(f"drivers/{i:02}.ko", _REGULAR, ko) for i, ko in enumerate(drivers)),
        Node("init", _REGULAR, agent),
        Node("sbin", _DIRECTORY),
        *(Node(name, _LINK, b"/init") for name in _ENDERS),
        Node("setup", _REGULAR, lines.encode()),
    ]
    return b"".join(_entry(number, node) for number, node in enumerate([*nodes, Node(_TRAILER, 0)], start=1))


def _entry(number: int, node: Node) -> bytes:
    name = node.path.encode() + b"\0"
    # magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
    # namesize, check (Documentation/driver-api/early-userspace/buffer-format.rst)
    fields = (number, node.mode, 0, 0, 1, 0, len(node.data), 0, 0, *node.device, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(node.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
