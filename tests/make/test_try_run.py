"""What Kbuild asks the compiler is asked once, and answered as if it were asked each time."""

import os
import shutil

import pytest

from kscaffold.files import paths
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.compiler import Toolchain, toolchain
from kscaffold.make.build import build
from kscaffold.make.try_run import open_try_run
from kscaffold.project.ask import read_project
from kscaffold.records import replace
from tests.conftest import need_program
from tests.support.kernels import need_kernel

YES = "override kscaffold-yes-cc@s-Werror@s-mfoo := y"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with a compiler that is a program."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("gcc-12", "ld"):
        shutil.copy("/bin/true", place / name)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CROSS_COMPILE", raising=False)
    (tmp_path / "state").mkdir()
    return place


@pytest.fixture
def tree(tmp_path) -> BuildTree:
    return replace(read_tree(tmp_path), release="6.1.0-test", compiler="gcc-12", cross="", clang=False)


def opened(tree, tmp_path, *variables: str, tools=()):
    return open_try_run(tree, Toolchain(tools), tmp_path / "state", variables)


def test_a_yes_is_kept_and_nothing_else(programs, tree, tmp_path):
    answers = opened(tree, tmp_path)
    assert answers and answers.environment["MAKEFILES"] == str(answers.file)
    logic = answers.file.read_text()
    no = "override kscaffold-yes-cc@s-mbar := n"
    answers.asked.write_text(f"{YES}\n{YES}\n{no}\nall: ; touch x\noverride kscaffold-yes-a b := y\n")
    answers.keep()
    assert answers.file.read_text() == f"{logic}{YES}\n" and not answers.asked.exists()
    again = opened(tree, tmp_path)
    assert again == answers
    again.asked.write_text(f"{YES}\n")
    again.keep()
    assert answers.file.read_text() == f"{logic}{YES}\n" and answers.file.stat().st_mode & 0o777 == 0o600


def test_a_build_that_failed_leaves_no_answer(programs, tree, tmp_path):
    failed = opened(tree, tmp_path)
    failed.asked.write_text(f"{YES}\n")
    next_one = opened(tree, tmp_path)
    assert not next_one.asked.exists()
    next_one.keep()
    assert YES not in next_one.file.read_text()


def test_other_programs_or_another_kernel_have_answers_of_their_own(programs, tree, tmp_path):
    first = opened(tree, tmp_path).file
    assert opened(replace(tree, release="6.12.0-test"), tmp_path).file != first
    os.utime(programs / "ld", (1, 1))
    second = opened(tree, tmp_path).file
    (programs / "gcc-12").unlink()
    shutil.copy("/bin/false", programs / "gcc-12")
    third = opened(tree, tmp_path).file
    assert len({first, second, third}) == 3


@pytest.mark.parametrize("variable", ["CC=gcc-12", "LLVM=1", "ARCH=arm64", "LD=ld.lld"])
def test_with_programs_of_the_user_s_choice_make_asks_itself(programs, tree, tmp_path, variable):
    assert opened(tree, tmp_path, "W=1", "V=1") is not None
    assert opened(tree, tmp_path, variable) is None


def test_a_script_that_calls_a_compiler_is_asked_each_time(programs, tree, tmp_path):
    (programs / "gcc-12").write_text("#!/bin/sh\nexec true\n")
    assert opened(tree, tmp_path) is None
    assert opened(replace(tree, programs=programs), tmp_path) is not None
    assert opened(replace(tree, clang=True, programs=programs), tmp_path) is None


def test_a_place_that_make_can_t_name_has_no_answers(programs, tree, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a b"))
    assert opened(tree, tmp_path) is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert open_try_run(tree, Toolchain(()), tmp_path / "$(state)") is None


@pytest.mark.parametrize(
    "made", [os.mkfifo, lambda p: p.write_bytes(b" " * (3 << 20)), lambda p: p.symlink_to("/dev/zero")]
)
def test_what_is_no_file_of_answers_is_made_anew(programs, tree, tmp_path, made):
    answers = opened(tree, tmp_path)
    logic = answers.file.read_text()
    answers.file.unlink()
    made(answers.file)
    assert opened(tree, tmp_path).file.read_text() == logic


@pytest.mark.kernel
@pytest.mark.parametrize("version", ["5.10", "6.1", "6.12"])
def test_the_second_build_asks_nothing_and_compiles_the_same(version, tmp_path, monkeypatch):
    need_program("gcc", "gcc")
    kernel = need_kernel(version)
    project = tmp_path / "hello"
    project.mkdir()
    (project / "Kbuild").write_text("obj-m := hello.o\nccflags-y := $(call cc-option,-Wno-unused-label)\n")
    (project / "hello.c").write_text('#include <linux/module.h>\nMODULE_LICENSE("GPL");\n')
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    told: list[str] = []
    known: list[int] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        assert build(read_project(project, kernel), kernel).ok
        (answers,) = (paths.cache() / "try-run").iterdir()
        told.append((project / ".hello.o.cmd").read_text())
        known.append(answers.read_text().count(":= y"))
        for made in project.glob("*hello*[!c]"):
            made.unlink()
    assert known[0] == known[1] > 8
    assert told[0] == told[1] and "-Wno-unused-label" in told[0]
    tree = read_tree(kernel.build, kernel.arch)
    assert open_try_run(tree, toolchain(tree), paths.project_state(project)).file == answers
