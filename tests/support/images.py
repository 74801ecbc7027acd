"""Tiny kernel images, written byte by byte: a bzImage around a payload, and an ELF kernel."""

import struct


def elf(
    *, pvh: bool = True, machine: int = 62, filler: int = 4096, release: str = "6.1.0-9-cloud-amd64"
) -> bytes:
    """An ELF file with a note segment and a loadable one, as QEMU's -kernel looks at them."""
    note = struct.pack("<III", 4, 8, 18 if pvh else 6) + b"Xen\0" + struct.pack("<Q", 0x1000000)
    text = f"Linux version {release} (nobody@nowhere)".encode() + bytes(range(256)) * (filler // 256)
    start = 64 + 2 * 56
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x1000000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    segments = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, len(note), len(note), 4)
    segments += struct.pack("<IIQQQQQQ", 1, 5, start + len(note), 0, 0, len(text), len(text), 4096)
    return header + segments + note + text


def bzimage(payload: bytes, *, release: str = "6.1.0-9", version: int = 0x020F) -> bytes:
    """A bzImage with one setup sector more than none, its payload right behind (boot.rst)."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, version)
    struct.pack_into("<H", setup, 0x20E, 0x300 - 0x200)
    text = f"{release} (nobody@nowhere) #1 SMP".encode() + b"\0"
    setup[0x300 : 0x300 + len(text)] = text
    # As the kernel does it: the size of what is inside follows the stream and counts as payload.
    struct.pack_into("<II", setup, 0x248, 0, len(payload) + 4)
    return bytes(setup) + payload + b"\x34\x12\0\0" + b"what follows"
