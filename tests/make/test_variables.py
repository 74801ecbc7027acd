"""VARIABLE=VALUE for make: passed on where Kbuild takes it from make's command line alone, or refused."""

from pathlib import Path

import pytest

from kscaffold.errors import ToolMissingError, UsageError
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.make.variables import make_variables, with_variables
from tests.support.projects import HELLO, write

TREE = BuildTree(
    directory=Path("/k"),
    source=Path("/k"),
    release="6.1.0",
    version=("6", "1", "0"),
    srcarch="x86",
    compiler="gcc-12",
    built_by="gcc (Debian) 12",
    clang=False,
    reads_kbuild_in_place=False,
    kbuild="x86",
    cross="",
    compiler_package="",
)
UNDECLARED = HELLO.replace("module_init(", "int helper(void) { return 0; }\nmodule_init(")


@pytest.fixture
def bin_of_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only the programs that a test puts there are on PATH."""
    for name in ("W", "C", "V", "CC", "LLVM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def program(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)


LLVM = ("clang", "ld.lld", *(f"llvm-{n}" for n in ("ar", "nm", "objcopy", "objdump", "readelf", "strip")))


def test_words_come_behind_the_tree_s_own(bin_of_fakes: Path):
    program(bin_of_fakes, "clang")
    found = with_variables(Toolchain(("CC=gcc-11", "X=")), TREE, ("W=1", "CC=clang", "X=y z"))
    assert found.variables == ("W=1", "CC=clang", "X=y z")


def test_what_kbuild_takes_from_the_command_line_alone_is_taken_from_the_environment(
    bin_of_fakes: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {"W": "1e", "C": "2", "V": "1", "OTHER": "x"}.items():
        monkeypatch.setenv(name, value)
    assert with_variables(Toolchain(()), TREE, ("V=2",)).variables == ("V=2", "W=1e", "C=2")
    monkeypatch.setenv("C", "/somebody/else's")
    monkeypatch.setenv("W", "yes")
    assert with_variables(Toolchain(()), TREE, ()).variables == ("V=1",)


def test_llvm_is_spelled_out_where_the_tree_sets_its_compiler_again(bin_of_fakes: Path):
    program(bin_of_fakes, *LLVM)
    found = with_variables(Toolchain(()), TREE, ("LLVM=1",)).variables
    assert found[:3] == ("LLVM=1", "CC=clang", "LD=ld.lld") and "OBJCOPY=llvm-objcopy" in found
    program(bin_of_fakes, *(f"{name}-14" for name in LLVM))
    assert "CC=clang-14" in with_variables(Toolchain(()), TREE, ("LLVM=-14",)).variables


@pytest.mark.parametrize(
    ("words", "what", "package"),
    [
        (("LLVM=1",), "clang is not installed", "clang"),
        (("CC=clang-14",), "clang-14 is not installed", "clang-14"),
        (("CC=ccache gcc-9",), "gcc-9 is not installed", "gcc-9"),
    ],
)
def test_a_compiler_that_is_not_there_is_refused(bin_of_fakes: Path, words, what, package):
    with pytest.raises(ToolMissingError) as raised:
        with_variables(Toolchain(()), TREE, words)
    assert (raised.value.code, raised.value.what) == ("KS106", what)
    assert raised.value.cause == f"{words[0]} asks for it"
    assert raised.value.fix == f"sudo apt-get install --no-install-recommends {package}"


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("modules", "kscaffold build --module modules, where a module of that name is meant"),
        ("clean", "kscaffold build --module clean, where a module of that name is meant"),
        ("M=.", "kscaffold build"),
        ("M=", "kscaffold build -C DIR"),
        ("SUBDIRS=/x y", "kscaffold build -C '/x y'"),
        ("O=out", "kscaffold kernel add --build out, then kscaffold build --kernel RELEASE"),
        ("KDIR=/x", "kscaffold kernel add --build /x, then kscaffold build --kernel RELEASE"),
        ("KERNELDIR=/x", "kscaffold kernel add --build /x, then kscaffold build --kernel RELEASE"),
        ("KVER=6.1.0-9-amd64", "kscaffold build --kernel 6.1.0-9-amd64"),
    ],
)
def test_another_word_is_refused(word: str, fix: str):
    with pytest.raises(UsageError) as raised:
        make_variables([word])
    assert (raised.value.code, raised.value.fix) == ("KS004", fix)


@pytest.mark.kernel
def test_make_gets_them(tmp_path: Path, kernel, ks, monkeypatch: pytest.MonkeyPatch):
    k = kernel("6.1")
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=UNDECLARED)
    plain = ks("build", "-C", tmp_path, "-k", k.release, "--json")
    assert (plain.status, plain.json["complaints"]) == (0, [])
    asked = ks("build", "W=1", "-C", tmp_path, "-k", k.release, "--json")
    assert asked.status == 0
    assert ["no previous prototype for 'helper'" in c["text"] for c in asked.json["complaints"]] == [True]
    assert "W=1" in Path(asked.json["log"]).read_text().splitlines()[0]
