"""What docs/ show: the tutorial's screens are run, and each command that is named is one that there is."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from docs.build import flat
from kscaffold.cli.aliases import ALIASES
from kscaffold.cli.command_tree import command_tree
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.screens import on_terminal, screens

PAGES = [
    ROOT / "README.md",
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.parent.name != "reference"),
]
COMMANDS = {name: {o for option in c.options for o in option.names} for name, c in flat(command_tree())}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}


def typed(page: Path) -> list[list[str]]:
    """Each kscaffold command of a page's blocks and of its text."""
    text = page.read_text()
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in re.findall(r"(?:^|[ (/])kscaffold( [^\n;&|>)]+)", block)]
    lines += [line for line in re.findall(r"`kscaffold( [^`]+)`", text) if "$" not in line]
    return [shlex.split(line.split(" \\|")[0].strip(), comments=True) for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_each_command_is_one(page):
    for words in typed(page):
        if not words or words[0].isupper() or words[0] in ("--version", "help"):
            continue
        verb = ALIASES.get(words[0], words[0])
        name = f"{verb} {words[1]}" if verb in GROUPS and len(words) > 1 else verb
        assert name in COMMANDS or name in GROUPS, words
        if name == "watch" and words[1:]:  # what stands behind the command that it repeats is that one's
            name, words = words[1], words[1:]
        options = {re.split("=", w)[0] for w in words[1:] if re.match(r"--?[a-zA-Z]", w)}
        assert options <= COMMANDS.get(name, set()) | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_screen_is_wider_than_80_columns(page):
    assert [line for screen in screens(page) for line in screen if len(line) > 80] == []


@pytest.mark.sandbox
def test_the_tutorial_s_screens(ks, tmp_path, monkeypatch):
    """Word for word, but for releases, times, sizes and the place, folded as on a terminal of 80 columns."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    ks("kernel", "default", kernel.release)
    ks("run", "--kernel", kernel.release, ROOT / "README.md")  # makes the snapshot: no "Booting" line
    screens = re.findall(r"^```console\n(.*?)^```", (ROOT / "docs/tutorial.md").read_text(), re.M | re.S)
    for step in re.split(r"^\$ ", "".join(screens), flags=re.M)[1:]:
        line, _, shown = step.partition("\n")
        words = shlex.split(line)
        if words[0] == "cd":
            monkeypatch.chdir(Path.cwd() / words[1])
        elif words[0] == "cat":
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            assert said == shown, line
        else:
            ran = ks(*words[1:])
            assert plain(on_terminal(ran.err + ran.out), tmp_path) == plain(shown, tmp_path), line


def plain(text: str, place: Path) -> list[str]:
    text = re.sub(r"\d+\.\d+\.\d+-\S*?-cloud-amd64", "RELEASE", text.replace(str(place), "DIRECTORY"))
    return re.sub(r"\d+(\.\d+)? ms|\[ *\d+\.\d+\]|\b\d{4,}\b", "N", text).splitlines()
