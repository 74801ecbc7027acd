"""A project's .clang-format and .clangd: nothing is formatted otherwise, and clangd sees no false error."""

import subprocess

import pytest

from tests.conftest import need_program
from tests.support import templated
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write


def test_clang_format_leaves_every_template_as_it_is(ks, tmp_path):
    program = need_program("clang-format", "clang-format")
    for template in templated.names():
        name = templated.module(template)
        assert ks("new", name, "-t", template, "--author", "Ann Other", "-C", tmp_path).status == 0
    assert ks("new", "many", "--objs", "a,b,c,d-e", "--author", "Ann Other", "-C", tmp_path).status == 0
    files = sorted(tmp_path.rglob("*.[ch]"))
    ran = subprocess.run([program, "--dry-run", "--Werror", *files], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("series", "template"),
    [("5.10", "block"), ("6.1", "block"), ("6.12", "block"), ("6.1", "netdev"), ("6.1", "params")],
)
def test_clangd_finds_nothing(ks, tmp_path, series, template):
    program = need_program("clangd", "clangd")
    assert ks("new", "mod", "-t", template, "-C", tmp_path).status == 0
    project = tmp_path / "mod"
    assert ks("build", "-C", project, "-k", need_kernel(series).release).status == 0
    ran = subprocess.run([program, "--check=mod.c"], cwd=project, capture_output=True, text=True)
    told = [line for line in ran.stderr.splitlines() if line.startswith(("E[", "W["))]
    assert (ran.returncode, told) == (0, [])
    assert "All checks completed, 0 errors" in ran.stderr
    assert "Compile command from CDB is" in ran.stderr  # not one it made up

    # And it does see one that is one.
    source = project / "mod.c"
    source.write_text(source.read_text() + "\nint not_c(void) { return nowhere; }\n")
    ran = subprocess.run([program, "--check=mod.c"], cwd=project, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "undeclared_var_use" in ran.stderr


@pytest.mark.kernel
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_clangd_finds_nothing_where_no_template_left_a_clangd_of_its_own(ks, tmp_path, series):
    program = need_program("clangd", "clangd")
    write(tmp_path, Makefile="obj-m := a.o\nccflags-y := -DWORD='\"two words\"'\n", a__c=HELLO)
    assert ks("build", "-C", tmp_path, "-k", need_kernel(series).release).status == 0
    ran = subprocess.run([program, "--check=a.c"], cwd=tmp_path, capture_output=True, text=True)
    assert [line for line in ran.stderr.splitlines() if line.startswith("E[")] == []
    assert (ran.returncode, "All checks completed, 0 errors" in ran.stderr) == (0, True)
    assert "Compile command from CDB is" in ran.stderr and "two words" in ran.stderr
