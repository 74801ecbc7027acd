"""Relocations as the loader walks through them, and damage that it does not look for."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kscaffold.arch.x86_64 import ARCHITECTURE as X86_64
from kscaffold.elf import kofile
from kscaffold.elf.model import DamagedModule
from kscaffold.elf.param_tables import TABLES, bare
from kscaffold.elf.relocations import RelocationMap, flaw
from kscaffold.kernel.facts import KernelFacts, read_facts
from kscaffold.kernel.symvers import Symvers, read_symvers
from kscaffold.module.predict.predict import predict, predict_damaged
from tests.support.elf import ALLOC, Ko, Section
from tests.support.worlds import World

_64, _PC32, _32, _32S = 1, 2, 10, 11
WRITES = X86_64.loader_writes
assert WRITES is not None
HOMES = RelocationMap(
    ("unknown", "near", "away", "number", "unknown", "near", "near", "near", "number"),
    (0, 1, 2, 0xFFF1, 0, 1, 1, 1, 0xFFF1),
    {3: 0x1000, 5: 1 << 63, 6: 3 << 30, 7: -(1 << 29) % (1 << 64), 8: 1 << 31},
)


def entries(*told: tuple[int, int, int]) -> bytes:
    """(place, type, symbol) of each."""
    return b"".join(struct.pack("<QQq", place, symbol << 32 | kind, 0) for place, kind, symbol in told)


@pytest.mark.parametrize(
    ("told", "content", "expected"),
    [
        ([(0, _64, 1), (8, _PC32, 1)], bytes(12), None),
        ([(8, _PC32, 1), (0, _64, 1)], bytes(12), None),
        ([(8, _64, 1)], bytes(12), "outside"),
        ([(2**63, _64, 1)], bytes(12), "outside"),
        ([(0, _64, 9)], bytes(12), "outside"),
        ([(0, 0, 2**31)], bytes(12), "outside"),  # even of type NONE
        ([(0, 0, 1), (99, 0, 1)], bytes(12), None),
        ([(0, _PC32, 1)], b"\0\0\0\x01", "taken"),
        ([(0, _64, 1)], bytes(4) + b"\x01" + bytes(3), "taken"),
        ([(0, _64, 1), (4, _64, 1)], bytes(16), "overlaps"),
        ([(4, _64, 1), (0, _64, 1)], bytes(16), "overlaps"),
        ([(0, _64, 1), (0, _64, 1)], bytes(16), "overlaps"),
        ([(0, _32, 1)], bytes(4), "far"),
        ([(0, _32S, 1)], bytes(4), None),
        ([(0, _32S, 2)], bytes(4), "far"),
        ([(0, _PC32, 2)], bytes(4), None),  # whether it fits is not asked
        ([(0, _32, 3)], bytes(4), None),
        ([(0, _32, 4)], bytes(4), None),
        ([(0, _32S, 5)], bytes(4), "far"),  # half an address space away
        ([(0, _32, 5)], bytes(4), "far"),
        ([(0, _32S, 6)], bytes(4), None),  # where a section will be decides
        ([(0, _32, 6)], bytes(4), None),
        ([(0, _32S, 7)], bytes(4), None),
        ([(0, _32S, 8)], bytes(4), "far"),
        ([(0, _32, 8)], bytes(4), None),
        ([(0, 42, 1), (99, _64, 1)], bytes(4), None),  # it ends at the first
    ],
)
def test_one_section(told: list, content: bytes, expected: str | None):
    assert flaw(entries(*told), bytearray(content), HOMES, WRITES, alone=True) == expected


def test_two_sections_for_one_find_what_the_other_wrote():
    content = bytearray(16)
    assert flaw(entries((0, _64, 1)), content, HOMES, WRITES, alone=False) is None
    assert flaw(entries((4, _64, 1)), content, HOMES, WRITES, alone=False) == "taken"


@given(st.binary(max_size=400), st.binary(max_size=64))
def test_any_bytes_have_an_answer(raw: bytes, content: bytes):
    for alone in (True, False):
        assert flaw(raw, bytearray(content), HOMES, WRITES, alone=alone) in (
            None,
            "outside",
            "taken",
            "overlaps",
            "far",
        )


@pytest.fixture
def facts(tmp_path: Path):
    """facts(World(...)): what is known of that kernel."""

    def make(world: World | None = None) -> KernelFacts:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        return read_facts((world or World()).kernel(place))

    return make


def unsure(content: bytes, known: KernelFacts) -> bool:
    prediction = predict(kofile.parse_ko(content, Path("hello.ko")), known)
    return prediction.loads is None and any(f.code == "KS406" for f in prediction.findings)


def header_of(content: bytes, name: str) -> int:
    """Where the header of a section is in the file."""
    found = next(s for s in kofile.parse_ko(content, Path("hello.ko")).sections if s.name == name)
    (table,) = struct.unpack_from("<Q", content, 40)
    return table + 64 * found.index


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (".text", 48, 3),  # alignment
        (".text", 48, 1 << 40),
        (".gnu.linkonce.this_module", 8, ALLOC),  # not to be written
        (".gnu.linkonce.this_module", 4, 8),  # no content
        (".gnu.linkonce.this_module", 32, 64),  # smaller than the kernel's
    ],
)
def test_damage_that_no_kernel_looks_for(facts, section: str, field: int, value: int):
    content = bytearray(Ko().bytes())
    struct.pack_into(
        "<Q" if field in (8, 32, 48) else "<I", content, header_of(content, section) + field, value
    )
    assert not unsure(Ko().bytes(), facts())
    assert unsure(bytes(content), facts())


@pytest.mark.parametrize("at", [0, 0x100, 895])
def test_a_struct_module_with_something_in_it(facts, at: int):
    content = bytearray(Ko().bytes())
    this = next(
        s for s in kofile.parse_ko(bytes(content), Path("hello.ko")).sections if "this_module" in s.name
    )
    content[this.offset + at] = 1
    assert unsure(bytes(content), facts())
    # What lies beyond the kernel's own struct module it never reads.
    more = bytearray(Ko(struct_size=960).bytes())
    more[this.offset + 900] = 1
    assert not unsure(bytes(more), facts())


@pytest.mark.parametrize("table", ["__param", "__ksymtab", "__ksymtab_gpl"])
def test_a_table_without_its_relocations(facts, table: str):
    module = Ko(parameters={"n": "int"}, exports={"one": "", "two": "gpl"})
    content = bytearray(module.bytes())
    assert not unsure(bytes(content), facts())
    struct.pack_into(
        "<I", content, header_of(bytes(content), f".rela{table}") + 44, 0
    )  # they are for another
    assert unsure(bytes(content), facts())
    # Longer than its relocations, which then are too few.
    content = bytearray(module.bytes())
    struct.pack_into("<Q", content, header_of(bytes(content), table) + 32, 80 if table == "__param" else 48)
    assert unsure(bytes(content), facts())


@pytest.mark.parametrize(
    ("shndx", "offset", "expected"),
    [(1, 0, False), (1, 15, False), (1, 16, True), (2, 0, True), (0, 0, True)],
)
def test_a_table_of_places_in_code(shndx: int, offset: int, expected: bool):
    sections = kofile.parse_ko(Ko().bytes(), Path("hello.ko")).sections
    places = [sections[0], *(next(s for s in sections if s.name == name) for name in (".text", ".modinfo"))]
    assert bare(TABLES[".return_sites"], 4, [(0, shndx, offset, _PC32)], places, WRITES) == expected


@pytest.mark.parametrize(
    ("strings", "words"),
    [
        (".shstrtab", b"Invalid ELF section name table type"),
        (".strtab", b"Invalid ELF symbol string table type"),
    ],
)
def test_names_in_a_section_of_another_type(tmp_path: Path, facts, strings: str, words: bytes):
    content = bytearray(Ko().bytes())
    struct.pack_into("<I", content, header_of(bytes(content), strings) + 4, 1)
    ko = tmp_path / "hello.ko"
    ko.write_bytes(content)
    for said, loads in ((b"", None if strings == ".shstrtab" else True), (words, False)):
        image = tmp_path / f"image-{len(said)}"
        image.write_bytes(b"\0" + said + b": %u\0")
        known = replace(facts(World(since_6_4=True)), image=image)
        try:
            told = predict(kofile.read_ko(ko), known)
        except DamagedModule as flaw:
            told = predict_damaged(flaw, known)
        assert told.loads is loads
        assert loads is not False or (told.stage, told.errno) == ("elf", "ENOEXEC")


def test_what_is_asked_before_still_decides(facts):
    content = bytearray(Ko(layout_crc=1).bytes())
    struct.pack_into("<Q", content, header_of(content, ".text") + 48, 3)
    prediction = predict(kofile.parse_ko(bytes(content), Path("hello.ko")), facts())
    assert (prediction.stage, prediction.errno) == ("version", "ENOEXEC")


def test_a_pointer_beside_its_place_in_struct_module(facts):
    content = bytearray(Ko().bytes())
    entries_ = next(
        s for s in kofile.parse_ko(bytes(content), Path("hello.ko")).sections if s.name.startswith(".rela")
    )
    struct.pack_into("<Q", content, entries_.offset, 0x13C)
    prediction = predict(kofile.parse_ko(bytes(content), Path("hello.ko")), facts())
    assert prediction.loads is None and "KS460" in {f.code for f in prediction.findings}


def test_two_sections_of_one_name(facts):
    twice = Ko(sections=[Section(".twice", b"x"), Section(".twice", b"x")]).bytes()
    assert not unsure(twice, facts())
    assert unsure(twice, facts(World(since_6_4=True)))


def test_a_symbol_that_two_modules_of_one_build_export(tmp_path: Path, facts):
    file = tmp_path / "Module.symvers"
    file.write_text("0x1\tboth\t/p/hello\tEXPORT_SYMBOL\t\n0x1\tboth\t/p/other\tEXPORT_SYMBOL\t\n")
    project = read_symvers(file)
    assert isinstance(project, Symvers)
    assert [e.module for e in project.all_of("both")] == ["hello", "other"]
    ko = kofile.parse_ko(Ko(exports={"both": ""}).bytes(), Path("hello.ko"))
    known = facts()
    prediction = predict(ko, known, (), project)
    assert prediction.loads is True and [f.code for f in prediction.findings] == ["KS431"]
    there = replace(known, loaded=frozenset({"other"}))
    prediction = predict(ko, there, (), project)
    assert (prediction.stage, prediction.errno) == ("formation", "ENOEXEC")
