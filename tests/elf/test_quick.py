"""The quick reader of .ko files: any class and byte order, and of one mind with the reader behind `check`."""

from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.elf import content, kofile, quick
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from tests.support.elf import ALLOC, EXEC, Section, of


@pytest.fixture(params=table.NAMES)
def ko(request, tmp_path: Path) -> Path:
    """A module of each architecture, in a file that is not called as it is."""
    made = of(request.param, depends="base,other-one", weak=["perhaps"], parameters={"n": "int"})
    made.sections.append(Section(quick.BUILD_ID, b"note"))
    made.sections.append(Section(".text.more", bytes(32), flags=ALLOC | EXEC))
    file = tmp_path / "another-name.ko"
    file.write_bytes(made.bytes())
    return file


def test_it_reads_every_class_and_byte_order(ko: Path):
    assert quick.module_name(ko) == "hello"
    assert quick.depends(ko) == ("base", "other_one")
    assert quick.imports(ko) == {"_printk", "perhaps"}
    assert quick.build_id(ko) == b"note"
    assert quick.resident(ko)[".text.more"] == 32
    assert quick.symbol_at(ko, ".exit.text", 5) == ("hello_exit", 5, 6)


def test_both_readers_agree_on_every_class_and_byte_order(ko: Path):
    assert differences(ko) == []


def test_a_module_that_is_needed_back_is_found_on_every_machine(ko: Path, tmp_path: Path):
    ko.rename(tmp_path / "one.ko")
    assert quick.needed_back("base", "one", tmp_path)
    assert not quick.needed_back("nobody", "one", tmp_path)


@pytest.mark.parametrize("ident", [b"\x00\x01", b"\x03\x01", b"\x02\x00", b"\x02\x03"])
def test_a_class_or_order_that_is_none_gives_the_file_s_name(ident: bytes, tmp_path: Path):
    raw = bytearray(of("s390x", depends="base").bytes())
    raw[4:6] = ident
    file = tmp_path / "some-file.ko"
    file.write_bytes(raw)
    assert (quick.module_name(file), quick.depends(file)) == ("some_file", ())


def test_what_an_x86_kernel_ignores_is_ignored(tmp_path: Path):
    raw = bytearray(of("x86_64", depends="base").bytes())
    raw[4:6] = b"\x01\x02"
    file = tmp_path / "some-file.ko"
    file.write_bytes(raw)
    assert (quick.module_name(file), quick.depends(file)) == ("hello", ("base",))


@pytest.mark.parametrize("architecture", table.NAMES)
def test_no_truncation_is_an_error(architecture: str, tmp_path: Path):
    raw, file = of(architecture, depends="base").bytes(), tmp_path / "cut.ko"
    for length in range(0, len(raw), 37):
        file.write_bytes(raw[:length])
        assert quick.module_name(file) in ("cut", "hello")
        assert quick.imports(file) <= {"_printk"}


def differences(path: Path) -> list[str]:
    """Where the two readers differ about one .ko."""
    ko = kofile.read_ko(path)
    depends = (ko.info("depends") or "").split(",")
    code = [s for s in ko.sections if s.alloc and s.flags & 0x5 and s.size and not s.name.startswith(".init")]
    pairs = {
        "name": (quick.module_name(path), ko.struct_name),
        "depends": (quick.depends(path), tuple(normalize_name(d) for d in depends if d)),
        "imports": (quick.imports(path), frozenset(ko.undefined)),
        "resident": (quick.resident(path), {s.name: s.size for s in code}),
    }
    return [f"{path}: {what}: {a} / {b}" for what, (a, b) in pairs.items() if a != b]


@pytest.mark.kernel
def test_both_readers_agree_on_every_module_of_the_kernels_here(tmp_path: Path):
    seen, differ = 0, []
    for kernel in store.known():
        for path in sorted(kernel.modules.rglob("*.ko*")) if kernel.modules else ():
            # Unpacked once, not by each question.
            plain = tmp_path / f"{path.name.partition('.ko')[0]}.ko"
            plain.write_bytes(content.read_content(path)[0])
            try:
                differ += differences(plain)
            except KscaffoldError as error:
                differ.append(f"{path}: {error}")
            plain.unlink()
            seen += 1
    if not seen:
        pytest.skip("needs a kernel with modules")
    assert not differ, "\n".join(differ[:20])
