"""compile_commands.json: the module's own files, in both spellings of .cmd, and nobody else's work lost."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from kscaffold.make.compile_commands import write_database
from kscaffold.make.fingerprint.cmd_file import read_command
from kscaffold.project.project import Project
from tests.support.projects import HELLO, write

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_each_source_with_the_command_that_compiles_it(tmp_path: Path, kernel, ks, series: str):
    write(
        tmp_path,
        Kbuild="obj-m := one.o sub/\none-y := a.o b.o\n",
        a__c=HELLO,
        b__c='#define B "$x#y"\nconst char *b(void);\nconst char *b(void)\n{\n\treturn B;\n}\n',
        sub_0_Kbuild="obj-m := two.o\nCFLAGS_two.o := -DQUOTED='\"a b\"'\n",
        sub_0_two__c=HELLO,
    )
    assert ks("build", "-C", tmp_path, "-k", kernel(series).release).status == 0
    entries = json.loads((tmp_path / "compile_commands.json").read_text())
    assert [e["file"] for e in entries] == [str(tmp_path / f) for f in ("a.c", "b.c", "sub/two.c")]
    for entry in entries:
        # The command is the whole truth: run where it says, it compiles the file without a word.
        argv = shlex.split(entry["command"])
        argv[argv.index("-o") + 1] = "/dev/null"
        argv = [a for a in argv if not a.startswith("-Wp,-M")]
        done = subprocess.run(
            [*argv, "-fsyntax-only"], cwd=entry["directory"], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert any("-DQUOTED" in e["command"] for e in entries)


def test_it_follows_the_project_and_leaves_another_tool_s_alone(tmp_path: Path, kernel, ks):
    release = kernel("6.1").release
    file = tmp_path / "compile_commands.json"
    write(tmp_path, Kbuild="obj-m := a.o\n", a__c=HELLO, b__c=HELLO)
    assert ks("build", "-C", tmp_path, "-k", release).status == 0
    write(tmp_path, Kbuild="obj-m := a.o b.o\n")
    assert ks("build", "-C", tmp_path, "-k", release).status == 0
    assert len(json.loads(file.read_text())) == 2
    file.unlink()
    assert ks("build", "-C", tmp_path, "-k", release).status == 0
    assert len(json.loads(file.read_text())) == 2
    file.write_text("[]\n")
    write(tmp_path, Kbuild="obj-m := a.o\n")
    assert ks("build", "-C", tmp_path, "-k", release).status == 0
    assert file.read_text() == "[]\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "large"])
def test_a_file_that_is_not_ours_to_read_is_left(tmp_path: Path, kind: str):
    """A link to the database of a whole kernel is longer than what is read; the build failed with it."""
    file = tmp_path / "compile_commands.json"
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        with file.open("wb") as made:
            made.truncate(32 << 20)
    before = file.stat()
    project = Project(tmp_path, tmp_path / "Kbuild", ())
    assert write_database(project, None, tmp_path) is False
    assert file.stat() == before


@pytest.mark.parametrize("word", ["cmd", "savedcmd"])
def test_both_spellings(tmp_path: Path, word: str):
    file = tmp_path / ".a.o.cmd"
    file.write_text(
        f"{word}_/p/a.o := gcc -DX='$$y$(pound)' -c -o /p/a.o /p/a.c \n\n"
        "source_/p/a.o := /p/a.c\n\ndeps_/p/a.o := \\\n  include/x.h \\\n"
        "    $(wildcard include/config/FOO) \\\n  /p/own.h \\\n\n/p/a.o: $(deps_/p/a.o)\n"
        "\n/p/a.o: $(wildcard ./tools/objtool/objtool)\n"
    )
    command = read_command(file)
    assert command
    assert (command.target, command.source) == ("/p/a.o", "/p/a.c")
    assert command.line == "gcc -DX='$y#' -c -o /p/a.o /p/a.c"
    assert command.dependencies == ("include/x.h", "/p/own.h")
    assert command.markers == ("include/config/FOO", "./tools/objtool/objtool")
