"""The certificates that a kernel image was built with, found in it and added to, without its symbols.

A kernel has them as one run of DER (certs/system_certificates.S), and load_system_certificate_list() hands
their address and their size to x509_load_certificate_list(). On x86-64 that is two instructions beside each
other, `mov size(%rip), %rsi` and `mov $list, %rdi` (or a `lea`). Both are found by what they point at: an
address at which certificates begin, and a word that holds exactly their size. Nothing else in an image is
like that, and where anything is, or nothing, the image is left alone.

A longer list is put where the image has nothing: the linker's zeros between two sections of the same
segment, which are mapped as long as the kernel starts. The instruction then points there.
"""

import re
import struct
from mmap import mmap

from kscaffold.elf.kofile import image_sections
from kscaffold.elf.model import SHF_ALLOC, SHF_EXECINSTR, Section
from kscaffold.pkcs7 import der
from kscaffold.records import dataclass

# A certificate of version 3: a sequence of a sequence that begins with [0] { INTEGER 2 } and a serial number.
_BEGIN = re.compile(rb"\x30\x82..\x30(?:\x81.|\x82..)\xa0\x03\x02\x01\x02\x02", re.S)
_LOAD_LIST = re.compile(rb"\x48(?:\xc7\xc7|\x8d\x3d)")
_LOAD_SIZE = re.compile(rb"\x48\x8b[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.S)
_NEAR = 48  # bytes between the two instructions
_ALIGN = 16


class NotFound(Exception):
    """The list is not there, or not in a way that can be proven; the text is a phrase."""


@dataclass(frozen=True, slots=True)
class CertList:
    """Where an image has the list, as offsets in the file. `instruction`: the instruction (7 bytes) that
    loads the list's address, at virtual address `instruction_address`. `size_at`: the word with the size.
    `room_at`, `room`, `room_address`: the largest place for a longer list.
    """

    start: int
    length: int
    instruction: int
    instruction_address: int
    size_at: int
    room_at: int
    room: int
    room_address: int


def find_cert_list(image: mmap) -> CertList:
    """The list of an ELF kernel for x86-64. Raises NotFound."""
    try:
        sections = [s for s in image_sections(image) if s.alloc and s.size]
    except ValueError:
        raise NotFound("it is no ELF kernel for x86-64") from None
    stored = [s for s in sections if s.type != "SHT_NOBITS"]
    found = []
    for section in stored:
        if section.flags & SHF_EXECINSTR or not section.flags & SHF_ALLOC:
            continue
        for start, length in _runs(image, section):
            address = section.address + start - section.offset
            found += [(start, length, *i) for i in _instructions(image, stored, address, length)]
    if len(found) != 1:
        many = f"its code names {len(found)} lists of certificates"
        raise NotFound(many if found else "no list of certificates is found in it")
    start, length, instruction, instruction_address, size_at = found[0]
    room_at, room, room_address = _room(image, sections, start, instruction_address)
    return CertList(start, length, instruction, instruction_address, size_at, room_at, room, room_address)


def certificates(image: mmap, where: CertList) -> list[bytes]:
    """The certificates that are there, each in DER."""
    return [value.raw for value in der.values(image[where.start : where.start + where.length])]


def added(image: mmap, where: CertList, new: list[bytes]) -> bytes:
    """The image with certificates added to its own. Raises NotFound where there is no room for them, or the
    kernel would not read them.
    """
    if any(one[:2] != b"\x30\x82" for one in new):
        # x509_load_certificate_list() stops at what is not a sequence whose length takes two bytes.
        raise NotFound("a certificate of less than 256 bytes is none to it")
    whole = image[where.start : where.start + where.length] + b"".join(new)
    if len(whole) > where.room:
        raise NotFound(f"the certificates take {len(whole)} bytes, and it has room for {where.room}")
    patched = bytearray(image)
    patched[where.room_at : where.room_at + len(whole)] = whole
    struct.pack_into("<Q", patched, where.size_at, len(whole))
    if patched[where.instruction + 1] == 0x8D:  # lea: relative to the next instruction
        value = where.room_address - (where.instruction_address + 7)
    else:
        value = where.room_address - (1 << 64)  # mov: 32 bits, sign-extended
    struct.pack_into("<i", patched, where.instruction + 3, value)
    return bytes(patched)


def _runs(image: mmap, section: Section) -> list[tuple[int, int]]:
    """Certificates back to back: (offset, bytes) of each run in a section."""
    runs: list[tuple[int, int]] = []
    end, limit = 0, section.offset + section.size
    for match in _BEGIN.finditer(image, section.offset, limit):
        start = match.start()
        length = der.size(image[start : start + 6])
        if start < end or start + length > limit or not _is_whole(image[start : start + length]):
            continue
        if runs and start == end:
            runs[-1] = (runs[-1][0], runs[-1][1] + length)
        else:
            runs.append((start, length))
        end = start + length
    return runs


def _is_whole(certificate: bytes) -> bool:
    try:
        parts = der.only(certificate).parts()
    except der.DerError:
        return False
    return [part.tag for part in parts] == [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]


def _instructions(
    image: mmap, stored: list[Section], address: int, length: int
) -> list[tuple[int, int, int]]:
    """Each instruction that loads this address near one that loads this length: its offset, its address,
    and the offset of the length.
    """
    found = []
    for section in stored:
        if not section.flags & SHF_EXECINSTR:
            continue
        end = section.offset + section.size
        for match in _LOAD_LIST.finditer(image, section.offset, end - 4):
            at = match.start()
            here = section.address + at - section.offset
            (value,) = struct.unpack_from("<i", image, at + 3)
            target = here + 7 + value if image[at + 1] == 0x8D else value % (1 << 64)
            if target != address:
                continue
            for load in _LOAD_SIZE.finditer(image, max(section.offset, at - _NEAR), min(end, at + _NEAR)):
                there = section.address + load.start() - section.offset
                (distance,) = struct.unpack_from("<i", image, load.start() + 3)
                place = _offset(stored, there + 7 + distance)
                if place is not None and image[place : place + 8] == struct.pack("<Q", length):
                    found.append((at, here, place))
    return found


def _offset(stored: list[Section], address: int) -> int | None:
    """Where in the file an address is."""
    for section in stored:
        if section.address <= address < section.address + section.size - 7:
            return section.offset + address - section.address
    return None


def _room(image: mmap, sections: list[Section], start: int, code: int) -> tuple[int, int, int]:
    """The largest run of zeros among what the kernel gives back after its start: offset, bytes, address.

    That is in the segment of the list, between the code at address `code` and .bss: behind that what is
    free in the file need not be the kernel's in memory.
    """
    (table,), (size, count) = struct.unpack_from("<Q", image, 32), struct.unpack_from("<HH", image, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", image, table + i * size) for i in range(count)]
    offset, address, stored = next(
        ((h[2], h[3], h[5]) for h in headers if h[0] == 1 and h[2] <= start < h[2] + h[5]), (0, 0, 0)
    )
    best = (0, 0, 0)
    end = code
    for section in sorted(sections, key=lambda s: s.address):
        behind = section.address + section.size
        if not (max(code, address) < behind and section.address < address + stored):
            continue
        if section.type == "SHT_NOBITS":
            break
        at = -(-end // _ALIGN) * _ALIGN
        where, room = offset + at - address, section.address - at
        if end > code and room > best[1] and not any(image[where : where + room]):
            best = (where, room, at)
        end = max(end, behind)
    return best
