"""The README says what is so."""

import re
import shlex
import subprocess

import pytest

from kscaffold import errors, timeouts
from kscaffold.cli.registry import commands
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel

APP = commands()
TEXT = (ROOT / "README.md").read_text()


def _names(typer_app) -> set[str]:
    return {c.name or c.callback.__name__ for c in typer_app.registered_commands}


def test_every_command_is_in_the_table_and_no_other():
    table = TEXT.partition("## Commands")[2].partition("## Exit codes")[0]
    told = set()
    for line in table.splitlines():
        if line.startswith("| `"):
            words = re.findall(r"`([a-z-]+(?: [a-z-]+)?)", line.split("|")[1])
            group = words[0].split()[0]
            told |= {w if " " in w or w == group else f"{group} {w}" for w in words}
    real = _names(APP)
    for group in APP.registered_groups:
        if group.typer_instance.info.invoke_without_command is True:  # a command by itself, too
            real.add(group.name)
        real |= {f"{group.name} {name}" for name in _names(group.typer_instance)}
    assert told == real


def test_exit_codes():
    table = TEXT.partition("## Exit codes")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)}
    assert told == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


def test_limits_and_their_defaults():
    told = dict(re.findall(r"`KSCAFFOLD_(\w+)` \((\d+)\)", (ROOT / "docs/limits.md").read_text()))
    assert {name: float(value) for name, value in told.items()} == timeouts._DEFAULTS


def test_the_two_commands_are_there_and_run_what_they_say():
    for script in ("examples/quickstart.sh", "tests/run.sh"):
        assert f"sh {script}" in TEXT
        assert (ROOT / script).exists()


@pytest.mark.sandbox
@pytest.mark.parametrize("number", [0, 1], ids=["a crash", "a day"])
def test_the_screens_are_what_the_commands_print(ks, tmp_path, monkeypatch, number):
    """Word for word, but for releases, times and sizes."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    ks("kernel", "default", kernel.release)
    ks("run", "--kernel", kernel.release, ROOT / "README.md")  # makes the snapshot: no "Booting" line
    screen = re.findall(r"^```console\n(.*?)^```", TEXT, re.M | re.S)[number]
    for step in re.split(r"^\$ ", screen, flags=re.M)[1:]:
        typed, _, shown = step.partition("\n")
        words = shlex.split(typed)
        if words[0] == "cd":
            monkeypatch.chdir(tmp_path / words[1])
            continue
        if words[0] == "sed":
            subprocess.run(words, check=True)
            continue
        assert words[0] == "kscaffold"
        ran = ks(*words[1:])
        assert _plain(ran.err + ran.out) == _plain(shown), typed


def _plain(text: str) -> list[str]:
    text = re.sub(r"\d+\.\d+\.\d+-\S*?-cloud-amd64", "RELEASE", text)
    text = re.sub(r"\d+ (lines are left out)", r"N \1", text)  # a stack is as deep as the interrupt found it
    return re.sub(r"\d+(\.\d+)? ms|\[ *\d+\.\d+\]|\b\d{4,}\b", "N", text).splitlines()
