"""What a shell completes, and how fast; the short names of commands and options."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.cli.aliases import ALIASES
from kscaffold.cli.completion import table
from tests.conftest import ROOT, need_program
from tests.support.elf import Ko
from tests.support.projects import HELLO, write
from tests.support.worlds import RELEASE, World


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a built module of two parameters, and one kernel in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    World().stored()
    project = write(tmp_path / "hello", Kbuild="obj-m := hello.o other.o\n", hello__c=HELLO)
    (project / "hello.ko").write_bytes(
        Ko("hello", info=[("parmtype", "howmany:int"), ("parmtype", "whom:charp")]).bytes()
    )
    (project / "deeper").mkdir()
    monkeypatch.chdir(project)
    return project


def completed(*words: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "kscaffold", "__complete", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["relo"], ["reload"]),
        (["kernel", "de"], ["default"]),
        (["help", "kernel", "de"], ["default"]),
        (["run", "--rep"], ["--repeat"]),
        (["load", "-k", ""], [RELEASE]),
        (["load", "--kernel=" + RELEASE[:2]], [f"--kernel={RELEASE}"]),
        (["build", "-m", ""], ["hello", "other"]),
        (["load", ""], ["deeper/", "hello.ko", "howmany=", "whom="]),
        (["insmod", "hello.ko", "howmany=1", "w"], ["whom="]),
        (["explain", "load", "h"], ["hello.ko", "howmany="]),
        (["new", "x", "-t", "deb"], ["debugfs"]),
        (["explain", "KS20"], [f"KS20{n}" for n in range(10)]),
        (["explain", "ks208"], ["KS208"]),
        (["explain", "EPE"], ["EPERM"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["load", "-C", "dee"], ["deeper/"]),
        (["frob", ""], []),
        (["kernel", "frob", ""], []),
        (["rmmod", ""], ["hello", "other"]),
        (["info", "h"], ["hello.ko"]),
    ],
)
def test_what_is_completed(here, words, found):
    assert completed(*words) == found


def test_nothing_is_said_where_nothing_can_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.ko").write_text("no module")
    assert completed("load", "-k", "") == []
    assert completed("load", "./none/x") == []
    assert completed("load", "bad.ko", "x") == []


def test_typer_is_not_imported_for_it(here):
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kscaffold", "__complete", "load", "-k", ""],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert RELEASE in said.stdout and "typer" not in said.stderr


def test_the_table_is_of_these_commands():
    """Else: python -m docs.build."""
    assert (ROOT / "kscaffold/cli/completion/table.json").read_text() == table.table()


def test_bash_completes(ks, here, tmp_path):
    need_program("bash", "bash")
    program = tmp_path / "bin/kscaffold"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kscaffold "$@"\n')
    program.chmod(0o755)
    script = ks("completion", "bash").out + (
        'COMP_WORDS=(kscaffold load -k ""); COMP_CWORD=3; _kscaffold 2>/dev/null\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{program.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert said.stdout.splitlines() == [RELEASE]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_s_script_is_one_that_it_reads(ks, tmp_path, shell):
    script = ks("completion", shell).out
    assert "kscaffold __complete" in script
    (tmp_path / "script").write_text(script)
    program = need_program(shell, shell)
    subprocess.run([program, "-n", tmp_path / "script"], check=True)


def test_no_such_shell(ks):
    assert ks("completion", "tcsh", "--json").json["error"]["fix"] == "kscaffold completion bash|zsh|fish"


@pytest.mark.parametrize(("theirs", "ours"), ALIASES.items())
def test_the_commands_of_kmod_answer_as_what_they_are(ks, here, theirs, ours):
    assert ks(theirs, "--help").out == ks(ours, "--help").out
    assert ks(theirs, "--frob", "--json").json["command"] == ours
    assert f"  {theirs} " not in ks("--help").out


@pytest.mark.parametrize("words", ["help load", "load -h", "load --help"])
def test_help_has_its_usual_names(ks, words):
    assert ks(*words.split()).out == ks("load", "--help").out != ""


def test_help_of_a_sub_command_and_of_all(ks):
    assert ks("help", "kernel", "add").out == ks("kernel", "add", "-h").out != ""
    assert ks("help").out == ks("-h").out == ks("--help").out != ""
    assert ks("help", "frob").status == 2


def test_the_version_has_a_short_name(ks):
    assert ks("-V").out == ks("--version").out != ""


def test_a_pipe_in_a_project_s_place_keeps_nobody_waiting(here):
    os.mkfifo(here / "pipe.ko")
    (here / "Kbuild").unlink()
    os.mkfifo(here / "Kbuild")
    assert completed("load", "pipe.ko", "h") == ["hello.ko"]
    assert completed("build", "-m", "") == []
