"""What a .ko says: read at one door, whatever its bytes are."""

import gzip
import importlib
import lzma
import os
import random
import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kscaffold.arch import table
from kscaffold.elf import kofile, quick, signature
from kscaffold.elf.model import DamagedModule, Export, Function, KoFile, ModuleParameter
from kscaffold.errors import KscaffoldError
from kscaffold.module.predict import param_values
from kscaffold.module.predict.finding import UNSURE
from tests.support.elf import ALLOC, EXEC, NOBITS, SYMTAB, Ko, Section, Symbol, of

HERE = Path("x.ko")
MARKER = signature.MARKER


def read(ko: Ko) -> KoFile:
    return kofile.parse_ko(ko.bytes(), HERE)


def refused(content: bytes) -> DamagedModule:
    with pytest.raises(DamagedModule) as caught:
        kofile.parse_ko(content, HERE)
    return caught.value


def test_says_what_it_is():
    ko = read(Ko("ret_1", init=("ret_1_init", ".init.text"), depends="a,b", weak=["maybe"]))
    assert (ko.name, ko.struct_name, ko.arch, ko.bits) == ("ret_1", "ret_1", "x86_64", 64)
    assert ko.init == Function("ret_1_init", ".init.text", "ret_1_init")
    assert ko.exit == Function("hello_exit", ".exit.text", "hello_exit")
    assert ko.license == "GPL"
    assert ko.depends == ("a", "b")
    assert ko.imports == ("_printk",)
    assert ko.weak_imports == ("maybe",)
    assert ko.versions == {"module_layout": 0x1234, "_printk": 0x92997ED8}
    assert not ko.signed


def test_init_that_is_called_init_module_itself():
    assert read(Ko(init=("init_module", ".text"))).init == Function("init_module", ".text", "init_module")


def test_a_function_that_only_looks_like_init_is_none():
    """Two other functions at the same address of another section, and an init_module nobody points at."""
    ko = Ko(init=None, more_symbols=[Symbol("init_module", ".text")])
    content = ko.bytes()
    assert b"init_module" in content
    # The generator makes the relocation for a symbol of that name: take its effect away.
    at = content.index(struct.pack("<Q", 0x138))
    assert kofile.parse_ko(content, HERE).init == Function("init_module", ".text", "init_module")
    patched = bytearray(content)
    patched[at + 8 : at + 16] = patched[at + 32 : at + 40]  # now both entries point at cleanup_module
    assert kofile.parse_ko(bytes(patched), HERE).init is None


def test_parameters_with_and_without_a_word_in_modinfo():
    parameters = {"howmany": "int", "list": "array of int", "text": "string", "callback": None}
    ko = read(Ko(parameters=parameters, limits={"list": 4, "text": 16}))
    assert ko.parameters == (
        ModuleParameter("howmany", "int", "about howmany"),
        ModuleParameter("list", "array of int", "about list", 4),
        ModuleParameter("text", "string", "about text", 16),
        ModuleParameter("callback", None, None),
    )


def test_exports():
    ko = read(Ko(exports={"shared": "", "inner": "gpl"}))
    assert ko.exports == (Export("shared", False, "", True), Export("inner", True, "", True))


@pytest.mark.parametrize("flags", [b"\0\1", b"\0\3"])
def test_exports_that_a_flag_limits(flags: bytes):
    """As kernels of 7.x do: one table, and a byte of flags for each symbol."""
    made = Ko(
        exports={"shared": "", "inner": ""},
        export_crcs=False,
        sections=[Section("__kflagstab", flags)],
        more_symbols=[
            Symbol("__flags_shared", "__kflagstab", 0, 0, 0),
            Symbol("__flags_inner", "__kflagstab", 1, 0, 0),
            Symbol("__flags_beyond", "__kflagstab", 9, 0, 0),
        ],
    )
    assert read(made).exports == (Export("shared", False, "", False), Export("inner", True, "", False))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"hello", "KS404"),
        (b"\x7fELF", "KS405"),
        (Ko().bytes()[:60], "KS405"),
        (Ko(machine=0x1234).bytes(), "KS407"),
        (Ko(this_module=False).bytes(), "KS409"),
        (Ko(symbols=False).bytes(), "KS410"),
        (Ko().bytes()[:16] + b"\x02" + Ko().bytes()[17:], "KS408"),
        (Ko().bytes()[:16] + b"\x03" + Ko().bytes()[17:], "KS408"),
    ],
)
def test_what_is_no_module(content: bytes, code: str):
    flaw = refused(content)
    assert (flaw.code, flaw.stage, flaw.errno) == (code, "elf", "ENOEXEC")


@pytest.mark.parametrize("name", table.NAMES)
def test_every_architecture_is_read(name: str):
    ko, record = read(of(name)), importlib.import_module(f"kscaffold.arch.{name}").ARCHITECTURE
    assert (ko.arch, ko.bits, ko.name, ko.struct_name) == (record.name, record.bits, "hello", "hello")
    assert ko.init and ko.exit and (ko.init.symbol, ko.exit.symbol) == ("hello_init", "hello_exit")
    assert ko.undefined == ("_printk",) and ko.versions == {"module_layout": 0x1234, "_printk": 0x92997ED8}
    (ends,) = [r for r in ko.relocations if ko.sections[r.target].name == ".gnu.linkonce.this_module"]
    assert (ends.addend, ends.count, ends.types) == (record.rela, 2, {1})


def test_bytes_that_an_x86_kernel_ignores_are_ignored():
    content = bytearray(Ko().bytes())
    content[4:6] = b"\x01\x02"  # class and byte order; elf_check_arch() looks at e_machine
    assert kofile.parse_ko(bytes(content), HERE).name == "hello"


def test_every_truncation_is_an_answer():
    content = Ko(parameters={"a": "int"}, exports={"x": ""}).bytes()
    rng = random.Random(1)
    places = sorted({0, 1, len(content) - 1, *(rng.randrange(len(content)) for _ in range(1000))})
    for place in places:
        flaw = refused(content[:place])
        # The table of sections is at the end: nothing shorter is a module.
        assert flaw.code in ("KS404", "KS405"), place
        assert flaw.stage == "elf"


BASE = Ko(
    parameters={"a": "int", "l": "array of int"}, limits={"l": 2}, exports={"x": "", "y": "gpl"}
).bytes()
HEADERS = struct.unpack_from("<Q", BASE, 40)[0]


@settings(max_examples=600, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 63), st.integers(HEADERS, len(BASE) - 1), st.integers(0, len(BASE) - 1)),
            st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), st.integers(0, 255)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_mutation_is_an_answer(changes: list[tuple[int, int]]):
    content = bytearray(BASE)
    for place, value in changes:
        content[place] = value
    try:
        ko = kofile.parse_ko(bytes(content), HERE)
    except DamagedModule as flaw:
        assert flaw.code.startswith("KS4")
    else:
        assert ko.size == len(content)


@settings(max_examples=200, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_header_are_an_answer(rest: bytes):
    for start in (b"", b"\x7fELF", BASE[:20], BASE[:64]):
        with pytest.raises(DamagedModule):
            kofile.parse_ko(start + rest, HERE)


def test_sections_larger_than_any_module_are_not_read():
    content = Ko(sections=[Section(".bss", type=NOBITS)]).bytes()
    many = Ko(info=[("alias", "x" * (5 << 20))]).bytes()
    assert kofile.parse_ko(content, HERE).name == "hello"
    assert refused(many).stage is None  # a kernel might take it


def test_a_string_table_without_end_is_read_in_bounds():
    symbols = [Symbol("s" * 10_000, ".text") for _ in range(3)]
    assert read(Ko(more_symbols=symbols)).name == "hello"


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("xz", lzma.compress), ("gz", gzip.compress), ("zst", zstandard.ZstdCompressor().compress)],
)
def test_compressed_modules(tmp_path: Path, suffix: str, pack):
    path = tmp_path / f"hello.ko.{suffix}"
    plain = tmp_path / "hello.ko"
    plain.write_bytes(BASE)
    path.write_bytes(pack(BASE, format=lzma.FORMAT_XZ) if suffix == "xz" else pack(BASE))
    assert kofile.read_ko(path).digest == kofile.read_ko(plain).digest
    assert kofile.read_ko(path).compression == {"xz": "xz", "gz": "gzip", "zst": "zstd"}[suffix]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedModule) as caught:
        kofile.read_ko(path)
    assert caught.value.code == "KS411"


def test_a_decompression_bomb_is_refused_in_bounds(tmp_path: Path):
    path = tmp_path / "bomb.ko.zst"
    # 1 GiB of zeros in 100 KiB.
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    path.write_bytes(b"".join(compressor.compress(bytes(1 << 24)) for _ in range(64)) + compressor.flush())
    with pytest.raises(DamagedModule) as caught:
        kofile.read_ko(path)
    assert caught.value.code in ("KS402", "KS411")


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device", "empty", "huge"])
def test_what_is_no_file_to_read(tmp_path: Path, kind: str):
    path = tmp_path / "x.ko"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "empty":
        path.touch()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(10 << 30)  # a hole: takes no room
    with pytest.raises(KscaffoldError) as caught:
        kofile.read_ko(path)
    codes = {"missing": "KS401", "empty": "KS403"}
    assert caught.value.code == codes.get(kind, "KS402")
    assert caught.value.exit_code == {"missing": 2, "empty": 1, "huge": 1}.get(kind, 69)


def trailer(length: int, kind: int = 2, first: int = 0) -> bytes:
    return struct.pack(">5B3sI", first, 0, kind, 0, 0, b"\0\0\0", length) + MARKER


PKCS7 = b"\x30\x81\xc8\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02".ljust(203, b"\x01")


@pytest.mark.parametrize(
    ("tail", "errno"),
    [
        (PKCS7 + trailer(len(PKCS7)), None),
        (b"p" * 100 + trailer(100), "EBADMSG"),
        (PKCS7[:-1] + trailer(len(PKCS7) - 1), "EBADMSG"),
        (trailer(0xFFFFFFFF), "EBADMSG"),
        (trailer(4, first=1), "EBADMSG"),
        (trailer(4, kind=1), "ENOPKG"),
        (MARKER, "ENOPKG"),  # the 12 bytes before it are of the module
    ],
)
def test_signature(tail: bytes, errno: str | None):
    # Room at the end that belongs to no table, as real files have none.
    ko = kofile.parse_ko(BASE + (bytes(12) if tail == MARKER else b"") + tail, HERE)
    assert ko.signature is not None
    assert ko.signature.errno == errno
    assert ko.signed == (errno is None)


def test_what_the_signature_covers_is_what_must_hold_the_sections():
    # The kernel cuts the signature off first: sections in it are beyond the end.
    assert refused(BASE + trailer(200)).code == "KS405"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "1", None),
        ("int", "-1", None),
        ("int", "+1", None),
        ("int", "0x1f", None),
        ("int", "017", None),
        ("int", "08", "EINVAL"),
        ("int", "0x", "EINVAL"),
        ("int", "abc", "EINVAL"),
        ("int", "", "EINVAL"),
        ("int", "1 ", "EINVAL"),
        ("int", "-+1", "EINVAL"),
        ("int", "2147483648", "ERANGE"),
        ("int", "-2147483648", None),
        ("int", "99999999999", "ERANGE"),
        ("int", "9" * 5000, "ERANGE"),
        ("int", "9" * 30 + "x", "ERANGE"),
        ("uint", "-1", "EINVAL"),
        ("byte", "256", "ERANGE"),
        ("byte", "255", None),
        ("short", "-32769", "ERANGE"),
        ("ushort", "65536", "ERANGE"),
        ("long", "9223372036854775808", "ERANGE"),
        ("ulong", "18446744073709551615", None),
        ("ullong", "18446744073709551616", "ERANGE"),
        ("bool", "yes", None),
        ("bool", "on", None),
        ("bool", "oh", "EINVAL"),
        ("bool", "2", "EINVAL"),
        ("bool", None, None),
        ("bool", "true", UNSURE),
        ("invbool", None, "EINVAL"),
        ("int", None, "EINVAL"),
        ("charp", "x" * 1024, None),
        ("charp", "x" * 1025, "ENOSPC"),
        ("charp", "", None),
        ("mode_of_my_own", "1", UNSURE),
        ("array of int", "1,2,3", None),
        ("array of int", "1,2,3,4", "EINVAL"),
        ("array of int", "1,,3", "EINVAL"),
        ("array of byte", "1,256", "ERANGE"),
        ("string", "ab", None),
        ("string", "abc", "ENOSPC"),
    ],
)
def test_values(kind: str, value: str | None, expected: str | None):
    assert param_values.refusal(ModuleParameter("p", kind, None, 3), value, 64) == expected


@pytest.mark.parametrize(
    ("value", "version", "expected"),
    [
        ("true", (5, 10), "EINVAL"),
        ("true", (6, 1), None),
        ("F", (6, 1), None),
        ("true", None, UNSURE),
        ("enable", (6, 12), "EINVAL"),
        ("enable", (7, 3), UNSURE),
    ],
)
def test_words_for_true_that_not_every_kernel_knows(value: str, version, expected: str | None):
    assert param_values.refusal(ModuleParameter("p", "bool", None), value, 64, version) == expected


def test_symbols_of_more_than_one_table_come_from_the_first():
    extra = Section(".symtab2", bytes(24), SYMTAB, 0, link=1)
    assert read(Ko(sections=[extra, Section(".x", b"", flags=ALLOC | EXEC)])).name == "hello"


@pytest.mark.parametrize("kind", ["bool", "bint", "invbool", "int", "charp", "array of bool"])
def test_a_name_alone(kind: str):
    # param_ops_bool and param_ops_bint have KERNEL_PARAM_OPS_FL_NOARG; nothing else has.
    expected = None if kind in ("bool", "bint") else "EINVAL"
    assert param_values.refusal(ModuleParameter("p", kind, None, 3), None, 64) == expected


def test_a_strong_symbol_of_the_same_name_is_needed():
    # As when the names of all symbols are lost.
    ko = read(Ko(imports={"both": 1, "sure": 1}, weak=["both", "perhaps"]))
    assert ko.weak_imports == ("perhaps",)
    assert ko.imports == ("both", "sure", "both")


def test_an_empty_file_compressed(tmp_path: Path):
    (tmp_path / "x.ko.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(DamagedModule) as found:
        kofile.read_ko(tmp_path / "x.ko.gz")
    assert (found.value.code, found.value.stage, found.value.errno) == ("KS403", "copy", "EINVAL")


def test_the_name_is_that_of_struct_module(tmp_path: Path):
    ko = tmp_path / "x-y.ko"
    content = Ko("ret_1").bytes()
    # The kernel lists it by that, whatever .modinfo says.
    for old, new in ((b"name=ret_1", b"name=other"), (b"name=ret_1", b"nome=ret_1")):
        ko.write_bytes(content.replace(old, new))
        assert quick.module_name(ko) == "ret_1"
    this = next(s for s in kofile.read_ko(ko).sections if s.name == ".gnu.linkonce.this_module")
    at = this.offset + 24
    for name, found in ((b"\0" * 5, "ret_1"), (b"re/_1", "ret_1"), (b"ret_2", "ret_2")):
        ko.write_bytes(content[:at] + name + content[at + 5 :])
        assert quick.module_name(ko) == found
    # Of x-86-64 the kernel does not ask the class.
    ko.write_bytes(content[:4] + b"\1" + content[5:])
    assert quick.module_name(ko) == "ret_1"


def test_modules_that_need_each_other(tmp_path: Path):
    for name, depends in (("a", "b-1"), ("b-1", "c"), ("c", "a,c"), ("d", "a,none")):
        (tmp_path / f"{name}.ko").write_bytes(Ko(name.replace("-", "_"), depends=depends).bytes())
    assert quick.needed_back("a", "b_1", tmp_path)  # through c
    assert quick.needed_back("c", "a", tmp_path)
    assert not quick.needed_back("d", "a", tmp_path)  # a circle, and d is not in it
    assert not quick.needed_back("a", "none", tmp_path)


def test_the_quick_look_at_a_compressed_module(tmp_path: Path):
    packed = tmp_path / "renamed.ko.gz"
    packed.write_bytes(gzip.compress(Ko("ret_1", depends="a,b-c").bytes()))
    assert quick.module_name(packed) == "ret_1"
    assert quick.depends(packed) == ("a", "b_c")


@pytest.mark.parametrize("at", range(40, 64))
@pytest.mark.parametrize("value", [0, 0x7F, 0xFF])
def test_the_quick_look_at_a_damaged_header(tmp_path: Path, at: int, value: int):
    content = bytearray(Ko().bytes())
    content[at] = value
    (tmp_path / "x-y.ko").write_bytes(content)
    assert quick.module_name(tmp_path / "x-y.ko") in ("hello", "x_y")
