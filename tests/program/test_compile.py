"""A `.c` file for a guest is compiled when something of it has changed, and not before."""

import os
import shutil
import time
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.files.reader import ForeignFileError
from kscaffold.program import compile
from tests.conftest import need_program

GCC = """#!/bin/sh
echo compiled >> {count}
{gcc} "$@" && {{ [ ! -e {late} ] || {{ cat {late} > {header}; rm {late}; }} }}
"""


class Project:
    """A source with a header, and a compiler that counts how often it is called. What is in `late` becomes
    the header while the compiler runs, after that has read it.
    """

    def __init__(self, place: Path) -> None:
        # Every character that a rule for make needs a backslash or a second dollar for.
        self.source = place / "its own #1$" / "p.c"
        self.header = place / "h.h"
        self.late = place / "late"
        self.count = place / "count"
        self.source.parent.mkdir()
        self.source.write_text('#include "../h.h"\nint main(void) { return NUMBER; }\n')

    def write(self, number: int) -> None:
        self.header.write_text(f"#define NUMBER {number}\n")
        time.sleep(0.05)  # a file that is as old as the compiler's start may have changed since

    def compile(self) -> tuple[bytes, int]:
        content = compile.compile_program(self.source, table.host())
        return content, len(self.count.read_text().split())


@pytest.fixture
def project(tmp_path, monkeypatch):
    need_program("gcc", "gcc")
    one = Project(tmp_path)
    gcc = tmp_path / "bin/gcc"
    gcc.parent.mkdir()
    words = {"count": one.count, "late": one.late, "header": one.header, "gcc": shutil.which("gcc")}
    gcc.write_text(GCC.format(**words))
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gcc.parent}:{os.environ['PATH']}")
    return one


def test_what_has_not_changed_is_compiled_once(project):
    project.write(1)
    first, _ = project.compile()
    assert project.compile() == (first, 1)
    project.write(2)
    second, count = project.compile()
    assert count == 2 and second != first
    assert project.compile() == (second, 2)


def test_what_changes_while_it_is_compiled_is_compiled_again(project):
    project.write(1)
    project.late.write_text("#define NUMBER 2\n")
    first, _ = project.compile()
    second, count = project.compile()
    assert count == 2 and second != first


def test_no_more_programs_are_kept_than_a_test_has(project, tmp_path, monkeypatch):
    monkeypatch.setattr(compile, "_MOST", 1)
    project.write(1)
    project.compile()
    other = tmp_path / "other.c"
    other.write_text("int main(void) { return 0; }\n")
    compile.compile_program(other, table.host())
    assert project.compile()[1] == 3


@pytest.mark.parametrize("name", ["endless.c", "beside.h"])
def test_a_compiler_is_not_left_alone_with_a_file_that_has_no_end(project, tmp_path, name):
    """gcc waited for a FIFO, and read a device and a file of 300 MB, for its 120 s."""
    project.write(1)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    file = tmp_path / name if name.endswith(".c") else tmp_path / "plain.c"
    if file.name == "plain.c":
        file.write_text('#include "beside.h"\nint main(void) { return 0; }\n')
    with pytest.raises(ForeignFileError, match=f"{name} is not a plain file"):
        compile.compile_program(file, table.host())
