"""A kernel image on disk to the image that a sandbox boots quickest: no decompression in the guest."""

import struct
from typing import TYPE_CHECKING

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.elf.decompress import DamagedError, decompress
from kscaffold.errors import KscaffoldError

if TYPE_CHECKING:
    from mmap import mmap

_ELF = b"\x7fELF"
_ZBOOT = b"MZ\0\0zimg"  # drivers/firmware/efi/libstub/zboot-header.S
_PT_LOAD = 1
_PT_NOTE = 4
_XEN_ELFNOTE_PHYS32_ENTRY = 18  # include/xen/interface/elfnote.h: the PVH entry point


def unpacked(image: bytes, machine: Architecture) -> bytes | None:
    """The file that QEMU gets as -kernel for an image of `machine`; None where that is the image itself.

    Raises KscaffoldError as `vmlinux` does.
    """
    if machine.image == "pvh":
        return vmlinux(image)
    if image.startswith(_ZBOOT):
        return _zboot_payload(image)
    return None


def vmlinux(image: bytes) -> bytes:
    """The ELF kernel in a bzImage; an ELF kernel comes back as it is. Of 64 bits, with a PVH entry.

    Layout: Documentation/arch/x86/boot.rst. Raises KscaffoldError KS510 for what is no kernel image or is
    damaged, KS511 for a kernel that can't be entered this way.
    """
    try:
        elf = image if image.startswith(_ELF) else decompress(_payload(image))
        _check(elf)
    except DamagedError as error:
        raise KscaffoldError(
            "KS510",
            "the kernel image can't be used",
            cause=str(error),
            fix="take the image as the kernel's package or `make bzImage` left it",
        ) from None
    except (struct.error, OverflowError):  # an offset outside the file, or outside any file
        raise KscaffoldError("KS510", "the kernel image can't be used", cause="its headers are cut") from None
    return elf


def release(image: "bytes | mmap") -> str | None:
    """`uname -r` of a bzImage or ELF kernel, or None where it does not say."""
    if image[:4] == _ELF:
        at = image.find(b"Linux version ")
        text = image[at + 14 : at + 14 + 128] if at >= 0 else b""
    elif image[0x202:0x206] == b"HdrS":
        at = int.from_bytes(image[0x20E:0x210], "little") + 0x200  # kernel_version
        text = image[at : at + 128]
    else:
        return None
    words = text.split(b"\0")[0].split()
    return words[0].decode(errors="replace") if words else None


def _payload(image: bytes) -> bytes:
    """The compressed kernel inside a bzImage."""
    if not image:
        raise DamagedError("the file is empty")
    if image[0x38:0x3C] in (b"ARMd", b"RSC\x05"):
        raise DamagedError("it is for another architecture")
    if image[0x202:0x206] != b"HdrS" or image[0x1FE:0x200] != b"\x55\xaa":
        raise DamagedError("it is neither a bzImage nor an ELF kernel")
    setup_sects, (version,) = image[0x1F1], struct.unpack_from("<H", image, 0x206)
    if version < 0x0208:
        raise DamagedError("its boot protocol is older than 2.08 (Linux 2.6.26)")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((setup_sects or 4) + 1) * 512 + offset
    if length == 0 or start + length > len(image):
        raise DamagedError("the file ends too early")
    return image[start : start + length]


def _zboot_payload(image: bytes) -> bytes:
    """The kernel inside an EFI zboot image: at the offset and of the size that its header has."""
    try:
        offset, size = struct.unpack_from("<II", image, 8)
        return decompress(image[offset : offset + size])
    except (DamagedError, struct.error) as error:
        raise KscaffoldError("KS510", "the kernel image can't be used", cause=str(error)) from None


def _check(elf: bytes) -> None:
    """Raise where QEMU's -kernel would not enter this ELF file."""
    if not elf.startswith(_ELF):
        raise DamagedError("what it holds is not an ELF kernel")
    architecture = table.of_elf(elf)
    if architecture is None or architecture.image != "pvh":
        raise DamagedError("it is for another architecture")
    kind = struct.unpack_from("<H", elf, 16)[0]
    if kind not in (2, 3):  # ET_EXEC, ET_DYN
        raise DamagedError("it is an ELF file but not a linked program")
    offset, size, count = (*struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54))
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + i * size) for i in range(min(count, 64))]
    if any(kind == _PT_LOAD and at + stored > len(elf) for kind, _, at, _, _, stored in headers):
        raise DamagedError("the ELF kernel ends too early")
    if not any(_has_pvh(elf[at : at + stored]) for kind, _, at, _, _, stored in headers if kind == _PT_NOTE):
        raise KscaffoldError(
            "KS511",
            "this kernel has no PVH entry, so a sandbox can't boot it",
            cause="it was built without CONFIG_PVH",
            fix="build it with CONFIG_PVH=y (`make pvh_guest.config` helps), or use a distribution's kernel",
        )


def _has_pvh(notes: bytes) -> bool:
    at = 0
    while at + 12 <= len(notes):
        name_size, data_size, kind = struct.unpack_from("<III", notes, at)
        if kind == _XEN_ELFNOTE_PHYS32_ENTRY and notes[at + 12 : at + 12 + name_size] == b"Xen\0":
            return True
        at += 12 + (name_size + 3 & ~3) + (data_size + 3 & ~3)
    return False
