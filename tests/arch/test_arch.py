"""The records of architectures: what finds them, and that their facts agree with each other and with ELF."""

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf import enums

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.elf import kofile
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.config import UNKNOWN_CONFIG
from kscaffold.kernel.facts import KernelFacts
from kscaffold.kernel.symvers import read_symvers
from kscaffold.module.predict import relocate, symbols
from kscaffold.module.predict.question import Question
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.vm import qemu
from tests.conftest import ROOT
from tests.support.elf import Ko, of

EVERY = {name: importlib.import_module(f"kscaffold.arch.{name}").ARCHITECTURE for name in table.NAMES}
HEADERS = ROOT / "kscaffold/sandbox/agent/arch"
AGENT = ROOT / "kscaffold/sandbox/agent/agent.c"
# pyelftools' tables of relocations; it has none of RISC-V.
RELOCATIONS = {
    "x86_64": enums.ENUM_RELOC_TYPE_x64,
    "i386": enums.ENUM_RELOC_TYPE_i386,
    "arm64": enums.ENUM_RELOC_TYPE_AARCH64,
    "arm": enums.ENUM_RELOC_TYPE_ARM,
    "s390x": enums.ENUM_RELOC_TYPE_S390X,
    "ppc64le": enums.ENUM_RELOC_TYPE_PPC64,
    "loongarch64": enums.ENUM_RELOC_TYPE_LOONGARCH,
}


def test_each_data_file_is_in_the_table():
    found = {file.stem for file in (ROOT / "kscaffold/arch").glob("*.py")}
    assert found - {"__init__", "architecture", "table"} == set(table.NAMES)


def test_each_field_has_its_comment():
    lines = (ROOT / "kscaffold/arch/architecture.py").read_text().splitlines()
    for field in Architecture._fields:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"    {field}: "))
        assert lines[at - 1].startswith("    # "), field


@pytest.mark.parametrize("name", table.NAMES)
def test_a_record_is_found_by_all_its_names(name: str):
    record = EVERY[name]
    assert record.name in record.uname
    assert {table.by_uname(machine) for machine in record.uname} == {record}
    assert table.by_debian(record.debian) is record
    assert table.by_elf(record.elf_machine, record.bits, record.order) is record
    number = record.elf_machine.to_bytes(2, "little" if record.order == "<" else "big")
    ident = bytes((record.bits // 32, 1 if record.order == "<" else 2, 1))
    assert table.of_elf((b"\x7fELF" + ident).ljust(18, b"\0") + number) is record


def test_what_has_no_record_is_none():
    assert table.by_uname("vax") is None and table.by_debian("sparc64") is None
    assert table.by_elf(21, 64, ">") is None  # big-endian PowerPC
    for header in (b"", b"\x7fELF", b"#!/bin/sh\nexit 0\nand more", b"\x7fELF\x09\x09".ljust(64, b"\x3e")):
        assert table.of_elf(header) is None


@pytest.mark.parametrize("name", table.NAMES)
def test_numbers_have_the_names_of_elf(name: str):
    record = EVERY[name]
    assert enums.ENUM_E_MACHINE[record.elf_machine_name] == record.elf_machine
    assert record.loader_relocations <= set(record.relocations)
    known = {v: k for k, v in RELOCATIONS.get(name, {}).items() if isinstance(v, int)}
    for number, word in record.relocations.items():
        assert known.get(number, word) == word


@pytest.mark.parametrize("name", table.NAMES)
def test_how_the_loader_writes_is_told_of_types_it_knows(name: str):
    record = EVERY[name]
    if record.loader_writes is None:
        return
    writes = record.loader_writes
    told = {*writes.width, writes.unsigned_32, writes.signed_32, writes.pointer, writes.distance}
    assert told <= record.loader_relocations
    assert writes.width[writes.pointer] == record.bits // 8 and writes.width[writes.distance] == 4


@pytest.mark.parametrize("name", table.NAMES)
def test_an_oops_is_known_by_its_line(name: str):
    lines = {
        "x86_64": "RIP: 0010:crash_init+0x9/0xff0 [crash]",
        "i386": "EIP: crash_init+0x9/0xff0 [crash]",
        "arm64": "pc : crash_init+0x9/0xff0 [crash]",
        "arm": "PC is at crash_init+0x9/0xff0 [crash]",
        "riscv64": "epc : crash_init+0x9/0xff0 [crash]",
        "s390x": "Krnl PSW : 0704c00180000000 000003ff80123456 (crash_init+0x9/0xff0 [crash])",
        "ppc64le": "NIP [c008000000c30040] crash_init+0x9/0xff0 [crash]",
        "loongarch64": "pc ffff800002010018 ra 90000000002215e8 tp 9000000100d4c000 sp 9000000100d4fd10",
    }
    assert [n for n in table.NAMES if re.match(EVERY[n].oops_pc, lines[name])] == [name]
    assert re.match(table.oops_pc(), lines[name])


def test_the_linker_s_symbols_by_name_and_by_beginning():
    ppc = EVERY["ppc64le"]
    assert ppc.from_linker(".TOC.") and ppc.from_linker("_savegpr0_14")
    assert (
        not ppc.from_linker(".TOC.x")
        and not ppc.from_linker("savegpr0_14")
        and not ppc.from_linker("_printk")
    )


def system_calls(text: str) -> set[str]:
    return set(re.findall(r"\bSYS_(\w+)\b", text))


@pytest.mark.parametrize("header", sorted(HEADERS.glob("*.h")), ids=lambda path: path.stem)
def test_a_header_of_the_agent_gives_all_of_the_list(header: Path):
    text = guest_root._source(EVERY[header.stem]).decode().partition('#line 1 "agent.c"')[0]
    assert system_calls(AGENT.read_text()) | {"clone"} == set(re.findall(r"\bSYS_(\w+) = \d", text))
    for given in ("syscall6(", "FORK(flags)", "clone_onto(", "_start"):
        assert given in text, given
    assert "counter(void)" in text or "#define NO_COUNTER" in text


@pytest.mark.parametrize("header", sorted(HEADERS.glob("*.h")), ids=lambda path: path.stem)
def test_the_agent_compiles_without_a_warning(header: Path, tmp_path: Path):
    record = EVERY[header.stem]
    compiler = "gcc" if record is table.host() else f"{record.triple}-gcc"
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    built = tmp_path / "agent"
    flags = [*guest_root._flags(record), "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    done = subprocess.run(
        [compiler, *flags, "-o", built, "-x", "c", "-"], input=guest_root._source(record), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert table.of_elf(built.read_bytes()[:64]) is record


@pytest.mark.parametrize("machine", ["vax", "mips64"])
def test_a_machine_without_an_agent_has_no_sandbox(machine: str):
    with pytest.raises(KscaffoldError) as raised:
        guest_root.guest_architecture(machine)
    assert raised.value.code == "KS602" and machine in raised.value.what


def test_a_missing_cross_compiler_is_named_with_its_package(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KscaffoldError) as raised:
        guest_root.compiler(EVERY["s390x"])
    assert "s390x-linux-gnu-gcc" in raised.value.what
    assert raised.value.fix and raised.value.fix.endswith(" gcc-s390x-linux-gnu")


def command_line(name: str) -> list[str]:
    machine = qemu.Machine(
        EVERY[name], Path("/k/image"), "tcg", qemu.Initramfs(Path("/i"), 5000, None), tsc_khz=2_000_000
    )
    return qemu.argv(
        "qemu", machine, qemu.Wires(5, 6, Path("/console"), Path("/ram"), restore=False, private=False)
    )


KERNEL_WORDS = (
    "quiet panic=-1 panic_print=0x20 preempt=full log_buf_len=4M mitigations=off slab_nomerge"
    " cryptomgr.notests random.trust_cpu=on"
)


@pytest.mark.parametrize(
    ("name", "machine", "cpu", "append", "port"),
    [
        (
            "x86_64",
            "microvm,memory-backend=ram,pic=off",
            "max,-cx16",
            f"console=ttyS0 {KERNEL_WORDS} tsc_early_khz=2000000",
            "virtio-serial-device",
        ),
        (
            "arm64",
            "virt,memory-backend=ram,gic-version=3",
            "max,pauth-impdef=on",
            f"console=ttyAMA0 {KERNEL_WORDS}",
            "virtio-serial-pci",
        ),
        (
            "s390x",
            "s390-ccw-virtio,memory-backend=ram",
            "max",
            f"console=ttyS1 {KERNEL_WORDS}",
            "virtio-serial-ccw",
        ),
    ],
)
def test_the_whole_command_line_of_qemu(name: str, machine: str, cpu: str, append: str, port: str):
    assert command_line(name) == [
        *("qemu", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", machine, "-accel", "tcg", "-cpu", cpu, "-smp", "1", "-m", "256M"),
        *("-object", "memory-backend-file,id=ram,size=256M,mem-path=/ram,share=on"),
        *("-kernel", "/k/image", "-initrd", "/i", "-append", append, "-serial", "file:/console"),
        *("-device", port, "-chardev", "socket,id=agent,fd=5"),
        *("-device", "virtserialport,chardev=agent,name=kscaffold"),
        *("-chardev", "socket,id=monitor,fd=6", "-mon", "chardev=monitor,mode=control"),
    ]


def facts_of(name: str, tmp_path: Path) -> KernelFacts:
    (tmp_path / "Module.symvers").write_text("0x92997ed8\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n")
    none: frozenset[str] = frozenset()
    return KernelFacts(
        release="6.1.0-test",
        arch=EVERY[name].name,
        exports=read_symvers(tmp_path / "Module.symvers"),
        vermagic=None,
        struct_size=None,
        since_6_4=False,
        config=UNKNOWN_CONFIG,
        builtin=none,
        in_sysfs=none,
        perhaps_in_sysfs=none,
        modules=None,
    )


def parsed(ko: Ko):
    return kofile.parse_ko(ko.bytes(), Path("x.ko"))


@pytest.mark.parametrize(("name", "symbol"), [("ppc64le", ".TOC."), ("arm", "__gnu_mcount_nc")])
def test_what_the_linker_makes_has_no_provider_to_miss(name: str, symbol: str, tmp_path: Path):
    """And on a machine where it does not, it has one."""
    made = {"imports": {"_printk": 0x92997ED8, symbol: None}}
    assert symbols.findings(Question(parsed(of(name, **made)), facts_of(name, tmp_path))) == []
    (other,) = symbols.findings(Question(parsed(of("x86_64", **made)), facts_of("x86_64", tmp_path)))
    assert other.code == "KS425" and symbol in other.message


@pytest.mark.parametrize("name", table.NAMES)
def test_relocations_are_asked_of_their_own_loader(name: str, tmp_path: Path):
    facts, record = facts_of(name, tmp_path), EVERY[name]
    known = max(record.loader_relocations)
    assert relocate.findings(Question(parsed(of(name, relocation=known)), facts)) == []
    (strange,) = relocate.findings(Question(parsed(of(name, relocation=200)), facts))
    assert strange.code == "KS432" and "of type 200" in strange.message
    ko = of(name)
    ko.rela = not ko.rela
    (wrong,) = relocate.findings(Question(parsed(ko), facts))
    assert wrong.code == "KS432" and ("with" if ko.rela else "without") + " addends" in wrong.message
