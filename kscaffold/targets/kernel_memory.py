"""A guest kernel's memory, read through /proc/kcore: an ELF file whose segments are what the kernel has
mapped.
"""

import struct
from collections.abc import Callable, Sequence

from kscaffold.errors import KscaffoldError

KCORE = "/proc/kcore"
Part = tuple[int, int]
"""An offset or an address, and a number of bytes."""

_LOAD = 1
_HEADER = 4096  # bytes: a kernel's twenty segments at most
# Where e_phoff is, and its form with those of the fields behind it; a segment's header; both by class.
_FORMS = {1: (28, "I", "IIIIIIII"), 2: (32, "Q", "IIQQQQQQ")}


class KernelMemory:
    """`read_parts`: gives the bytes of these parts of /proc/kcore, one behind the other. `order`: the byte
    order, and `letter`: a pointer, as struct writes them; `word`: bytes of a pointer; `end`: the first number
    that is none; `hole`: bytes between three pointers and a number of 64 bits.
    """

    def __init__(self, read_parts: Callable[[Sequence[Part]], bytes]) -> None:
        """Raises ValueError where that is no such file."""
        self._read_parts = read_parts
        header = read_parts([(0, _HEADER)])
        if header[:4] != b"\x7fELF" or header[4] not in _FORMS:
            raise ValueError("/proc/kcore is no ELF file")
        self.order = "<" if header[5] == 1 else ">"
        self.word = 4 * header[4]
        self.letter, self.hole = ("I", "4x") if self.word == 4 else ("Q", "")
        self.end = 1 << 8 * self.word
        offset_at, offset, entry = _FORMS[header[4]]
        (table,) = struct.unpack_from(self.order + offset, header, offset_at)
        size, count = struct.unpack_from(
            self.order + "HH", header, offset_at + (14 if self.word == 4 else 22)
        )
        self._segments: list[tuple[int, int, int]] = []  # address, bytes, offset
        for at in range(table, min(table + size * count, len(header) - size + 1), size):
            kind, *rest = struct.unpack_from(self.order + entry, header, at)
            offset_in_file, address, length = (rest[0], rest[1], rest[4]) if self.word == 4 else (
                rest[1], rest[2], rest[5])  # fmt: skip
            if kind == _LOAD:
                self._segments.append((address, length, offset_in_file))

    def read(self, parts: Sequence[Part]) -> list[bytes]:
        """The bytes at these addresses. Where nothing is mapped they are zeros, or what a read before left in
        the kernel's buffer (read_kcore() of 6.1): whoever reads has to know what is right.
        """
        known = [(self._offset(address, size), size) for address, size in parts]
        content = self._read_parts([(offset, size) for offset, size in known if offset is not None])
        found, at = [], 0
        for offset, size in known:
            found.append(bytes(size) if offset is None else content[at : at + size].ljust(size, b"\0"))
            at += 0 if offset is None else size
        return found

    def words(self, data: bytes) -> tuple[int, ...]:
        """Bytes as the kernel's pointers."""
        whole = len(data) // self.word
        return struct.unpack_from(f"{self.order}{whole}{self.letter}", data)

    def is_mapped(self, address: int) -> bool:
        """Whether something of the kernel's is there."""
        return self._offset(address, self.word) is not None

    def _offset(self, address: int, size: int) -> int | None:
        for start, length, offset in self._segments:
            if start <= address and address + size <= start + length:
                return offset + address - start
        return None


def kernel_memory(peek: Callable[[str, Sequence[Part]], bytes]) -> KernelMemory | None:
    """The memory behind /proc/kcore; None where that does not tell it. `peek`: gives parts of a file."""
    try:
        return KernelMemory(lambda parts: peek(KCORE, parts))
    except (OSError, KscaffoldError, ValueError, struct.error):
        return None
