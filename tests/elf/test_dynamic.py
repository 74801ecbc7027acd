"""A program that somebody else made is read without a bug and in time, whatever is in it."""

import random
import shutil
import struct
import time
from pathlib import Path

import pytest

from kscaffold.elf.dynamic import read_dynamic

LOAD, DYNAMIC, NEEDED, STRTAB = 1, 2, 1, 5


def program(headers: list[tuple[int, int, int, int]], rest: bytes = b"", *, start: int = 64) -> bytes:
    """An ELF file of 64 bits: its program headers (type, offset, address, size), and bytes after them."""
    table = b"".join(struct.pack("<I4xQQ8xQ16x", *each) for each in headers)
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQ", 2, 62, 1, 0, start)
    return head.ljust(54, b"\0") + struct.pack("<HH6x", 56, len(headers)) + table + rest


def strings(names: int, text: bytes) -> bytes:
    """A program with so many libraries, all of this name."""
    entries = struct.pack("<QQ", STRTAB, 0x1000) + struct.pack("<QQ", NEEDED, 0) * names
    at = 64 + 2 * 56
    headers = [(DYNAMIC, at, 0, len(entries)), (LOAD, at + len(entries), 0x1000, len(text))]
    return program(headers, entries + text)


def test_a_program_is_read():
    read = read_dynamic(strings(2, b"libc.so.6\0"))
    assert read is not None and read.needed == ("libc.so.6",) * 2 and read.machine == 62
    true = shutil.which("true")
    assert true
    found = read_dynamic(Path(true).read_bytes())
    assert found is not None and found.interpreter.startswith("/lib") and found.needed


@pytest.mark.parametrize(
    "made",
    [
        lambda: program([(DYNAMIC, 0, 0, 0)], start=(1 << 64) - 1),
        lambda: program([(DYNAMIC, 64, 0, 8 << 20)] * 65535, bytes(8 << 20)),
        lambda: strings(200_000, b"x" * (8 << 20)),
        lambda: strings(5_000, b"libc.so.6\0"),
    ],
)
def test_neither_a_bug_nor_without_an_end(made):
    content = made()
    began = time.process_time()
    read = read_dynamic(content)
    assert time.process_time() - began < 2
    assert read is None or not read.needed


def test_no_damage_is_a_bug():
    true = shutil.which("true")
    assert true
    whole, chance = Path(true).read_bytes(), random.Random(1)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(8):
            place = chance.randrange(1024)
            damaged[place] = chance.choice((0, 0x7F, 0xFF, chance.randrange(256)))
        read_dynamic(bytes(damaged))
