"""-C DIR and what else docs/commands.md promises of every command that acts on a project."""

import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Those of the table that act on no project, or on one that their own words name.
_ELSEWHERE = {"kernel", "cache", "doctor", "completion"}


def _commands() -> list[tuple[str, ...]]:
    table = (ROOT / "docs/commands.md").read_text().partition("\n## ")[0]
    commands: list[tuple[str, ...]] = []
    for cell in re.findall(r"^\| (`.*?`) \|", table, re.M):
        head = ""
        for text in re.findall(r"`([^`]*)`", cell):
            words = tuple(w for w in text.split() if re.fullmatch(r"[a-z][a-z-]*", w))
            alone = len(words) == 1 and head != ""
            commands.append((head, *words) if alone else words)
            head = head or words[0]
    return [c for c in dict.fromkeys(commands) if c[0] not in _ELSEWHERE]


def test_the_table_is_read_whole():
    found = _commands()
    assert len(found) >= 28 and ("kbuild", "rename") in found and ("sandbox", "shell") in found
    assert ("package", "install") in found and ("run",) in found and ("ci", "gitlab") in found


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_command_on_a_project_takes_c(ks, command: tuple[str, ...]):
    if command == ("sandbox", "status"):
        return  # of all
    help_text = ks(*command, "--help").out
    assert re.search(r"-C\b", help_text), help_text


# What they need besides a directory, which is looked at first.
_WORDS = {
    ("kbuild", "add-module"): ("x",),
    ("kbuild", "add-object"): ("x.o",),
    ("kbuild", "rename"): ("x", "y"),
    ("exec",): ("sh",),
    ("explain",): ("load",),
    ("new",): ("x",),
}
# These may name what has gone, or what is to be made.
_NOT_THERE = {("sandbox", "status"), ("sandbox", "stop"), ("new",)}


@pytest.mark.parametrize("name", ["file", "pipe", "none", "dangling", "self"])
def test_what_is_no_directory_is_answered_by_2_everywhere(
    ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("none")
    (tmp_path / "self").symlink_to("self")
    for command in _commands():
        if command not in _NOT_THERE:
            ran = ks(*command, "-C", name, *_WORDS.get(command, ()))
            assert ran.status == 2 and "error[KS004]" in ran.err and name in ran.err, (command, ran.err)
    for command in ("adopt", "update"):
        ran = ks(command, name)
        assert ran.status == 2 and f"error[KS004]: {name} is not a directory" in ran.err, ran.err
