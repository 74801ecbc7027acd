"""The ELF writer: other names for what a module imports, versions to match, in any width and byte order."""

import struct
from pathlib import Path

import pytest

from kscaffold.elf.kofile import symbol_section
from kscaffold.errors import KscaffoldError
from kscaffold.instrument.elf import rename_undefined, undefined_symbols
from tests.support.elf import LOCAL, PROGBITS, Ko, Section, Symbol

FORMS = [(64, "<"), (64, ">"), (32, "<"), (32, ">")]


def linked(bits: int, order: str, symbols: list[tuple[str, int]], sections: list[tuple[str, bytes]]) -> bytes:
    """A relocatable file of that form. `symbols`: names with their section's number, 0 for undefined."""
    strings, table = b"\0", b""
    for name, shndx in [("", 0), *symbols]:
        at = len(strings) if name else 0
        if bits == 64:
            table += struct.pack(order + "IBBHQQ", at, 0x10, 0, shndx, 0, 0)
        else:
            table += struct.pack(order + "IIIBBH", at, 0, 0, 0x10, 0, shndx)
        strings += name.encode() + b"\0" if name else b""
    number = len(sections) + 1
    made = [("", 0, b"", 0), *((n, PROGBITS, d, 0) for n, d in sections)]
    made += [(".symtab", 2, table, number + 1), (".strtab", 3, strings, 0)]
    names = b"".join(n.encode() + b"\0" for n, *_ in made) + b".shstrtab\0"
    made.append((".shstrtab", 3, names, 0))
    head = 64 if bits == 64 else 52
    body, headers, at = b"", b"", 0
    for name, kind, data, link in made:
        place = head + len(body)
        if bits == 64:
            headers += struct.pack(order + "IIQQQQIIQQ", at, kind, 0, 0, place, len(data), link, 0, 1, 0)
        else:
            headers += struct.pack(order + "IIIIIIIIII", at, kind, 0, 0, place, len(data), link, 0, 1, 0)
        body += data
        at += len(name) + 1
    ident = bytes([0x7F, 0x45, 0x4C, 0x46, bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    entry = 64 if bits == 64 else 40
    word = "Q" if bits == 64 else "I"
    rest = struct.pack(
        f"{order}HHI{word * 3}IHHHHHH",
        *(1, 62, 1, 0, 0, head + len(body), 0, head, 0, 0, entry, len(made), len(made) - 1),
    )
    return ident + rest + body + headers


def sections_of(data: bytes) -> dict[str, bytes]:
    bits, order = data[4] * 32, "<" if data[5] == 1 else ">"
    (start,) = struct.unpack_from(order + ("Q" if bits == 64 else "I"), data, 40 if bits == 64 else 32)
    size, count, names = struct.unpack_from(order + "HHH", data, 58 if bits == 64 else 46)
    form = struct.Struct(order + ("IIQQQQ" if bits == 64 else "IIIIII"))
    headers = [form.unpack_from(data, start + i * size) for i in range(count)]
    text = data[headers[names][4] :][: headers[names][5]]
    return {text[h[0] :].partition(b"\0")[0].decode(): data[h[4] : h[4] + h[5]] for h in headers}


def versions(bits: int, order: str, pairs: dict[str, int]) -> bytes:
    word = "Q" if bits == 64 else "I"
    return b"".join(
        struct.pack(order + word, crc) + name.encode().ljust(64 - bits // 8, b"\0")
        for name, crc in pairs.items()
    )


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_names_and_versions_in_every_form(bits: int, order: str):
    before = versions(bits, order, {"module_layout": 1, "kfree": 2, "_printk": 3})
    symbols = [("mine", 1), ("kfree", 0), ("_printk", 0), ("__fentry__", 0)]
    data = linked(bits, order, symbols, [(".text", b"code"), ("__versions", before)])
    assert undefined_symbols(data) == ("kfree", "_printk", "__fentry__")

    after = rename_undefined(data, {"kfree": "ks_kfree"}, {"ks_kfree": 0xABCD1234})

    assert undefined_symbols(after) == ("ks_kfree", "_printk", "__fentry__")
    found = sections_of(after)
    assert found["__versions"] == versions(
        bits, order, {"module_layout": 1, "_printk": 3, "ks_kfree": 0xABCD1234}
    )
    assert found[".text"] == b"code"
    # A defined symbol of the same name is another thing.
    same = linked(bits, order, [("kfree", 1)], [(".text", b"code")])
    assert undefined_symbols(rename_undefined(same, {"kfree": "ks_kfree"}, {})) == ()


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_the_extended_form_of_versions(bits: int, order: str):
    crcs = struct.pack(order + "2I", 7, 8)
    data = linked(
        bits,
        order,
        [("kfree", 0), ("a" * 80, 0)],
        [("__version_ext_crcs", crcs), ("__version_ext_names", b"kfree\0" + b"a" * 80 + b"\0")],
    )
    long = "ks_" + "a" * 80
    found = sections_of(
        rename_undefined(data, {"kfree": "ks_kfree", "a" * 80: long}, {"ks_kfree": 5, long: 6})
    )
    assert found["__version_ext_crcs"] == struct.pack(order + "2I", 5, 6)
    assert found["__version_ext_names"] == f"ks_kfree\0{long}\0".encode()


def test_a_symbol_without_a_version_gets_one():
    """What the compiler added after modpost had counted: __asan_load1_noabort and its kin."""
    ko = Ko(imports={"__asan_load1_noabort": None}).bytes()
    found = sections_of(rename_undefined(ko, {"__asan_load1_noabort": "ks___asan_load1_noabort"}, {
        "ks___asan_load1_noabort": 9
    }))  # fmt: skip
    assert b"\x09" + bytes(7) + b"ks___asan_load1_noabort" in found["__versions"]


def test_a_module_without_versions_stays_without():
    ko = Ko(versions=False).bytes()
    after = rename_undefined(ko, {"_printk": "ks__printk"}, {"ks__printk": 1})
    assert "__versions" not in sections_of(after)
    assert "ks__printk" in undefined_symbols(after)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\2\1" + bytes(60), Ko().bytes()[:300]])
def test_what_is_no_whole_module_is_an_error(data: bytes):
    with pytest.raises(KscaffoldError) as caught:
        rename_undefined(data, {}, {})
    assert caught.value.code == "KS406"


def test_other_sections_stay_where_they_are():
    ko = Ko(sections=[Section("mine", b"mine own")]).bytes()
    after = rename_undefined(ko, {"_printk": "ks__printk"}, {"ks__printk": 1})
    changed = ("__versions", ".strtab", ".symtab")
    assert {n: d for n, d in sections_of(ko).items() if n not in changed} == {
        n: d for n, d in sections_of(after).items() if n not in changed
    }


def test_of_two_static_functions_of_one_name_the_size_tells(tmp_path: Path):
    symbols = [("setup", 0), ("other", 4), ("setup", 8), ("last", 10)]
    made = [Symbol(name, ".text", value, LOCAL) for name, value in symbols]
    (tmp_path / "m.ko").write_bytes(Ko(more_symbols=made).bytes())
    assert symbol_section(tmp_path / "m.ko", "setup", 4) == (".text", 0)
    assert symbol_section(tmp_path / "m.ko", "setup", 2) == (".text", 8)
    assert symbol_section(tmp_path / "m.ko", "setup") == (".text", 0)
    assert symbol_section(tmp_path / "m.ko", "nobody") is None
