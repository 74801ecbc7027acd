"""The README says what is so."""

import re
import shlex
import subprocess

import pytest

from kscaffold import timeouts
from kscaffold.cli.registry import commands
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.screens import on_terminal

APP = commands()
TEXT = (ROOT / "README.md").read_text()


def _names(typer_app) -> set[str]:
    return {c.name or c.callback.__name__ for c in typer_app.registered_commands}


def test_every_command_is_in_the_table_and_no_other():
    table = (ROOT / "docs/commands.md").read_text().partition("\n## ")[0]
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


def test_each_page_of_docs_is_linked():
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)}
    assert set((ROOT / "docs").rglob("*.md")) <= linked


def test_the_sections_and_their_order():
    """What sells it first, then install, a day, the others beside it, and no long table of a reference."""
    assert re.findall(r"^## (.+)", TEXT, re.M) == [
        "Install",
        "After ten minutes",
        "Beside other tools",
        "Hacking",
        "Licence",
    ]
    assert len(TEXT.splitlines()) <= 150


def test_the_first_screen_is_one_screen():
    first = TEXT.partition("## Install")[0]
    assert "kscaffold run\n" in first and "source:" in first
    assert len(first.splitlines()) <= 50


def test_the_ten_commands_of_a_day_are_ten():
    table = TEXT.partition("Ten commands of a day")[2].partition("\n[")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "when | type" not in line]
    assert len(rows) == 10


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
    """Word for word, but for releases, times and sizes, and folded as a terminal of 80 columns has it."""
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
        assert _plain(on_terminal(ran.err + ran.out)) == _plain(shown), typed


def _plain(text: str) -> list[str]:
    text = re.sub(r"\d+\.\d+\.\d+-\S*?-cloud-amd64", "RELEASE", text)
    text = re.sub(r"\d+ (lines are left out)", r"N \1", text)  # a stack is as deep as the interrupt found it
    return re.sub(r"\d+(\.\d+)? ms|\[ *\d+\.\d+\]|\b\d{4,}\b", "N", text).splitlines()
