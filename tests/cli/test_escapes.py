"""Nothing that others named or wrote steers the terminal: every command, beside hostile names and texts."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold import console
from kscaffold.errors import EXIT_BUG
from tests.conftest import ROOT
from tests.support.elf import Ko
from tests.support.projects import HELLO
from tests.support.worlds import World

EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e"
# What a terminal may get: text, newlines and tabs, and our own colours.
STEERS = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]")
OURS = re.compile(r"\x1b\[(?:[0-9]|3[0-9])m")

COMMANDS = (
    "check",
    "check evil.ko",
    "check .",
    "info evil.ko",
    "info",
    "adopt",
    "adopt .",
    "build",
    "clean",
    "list",
    "logs",
    "unload",
    "unload {evil}",
    "load {evil} --offline",
    "load evil.ko {evil}=1 --offline",
    "run evil.ko --offline",
    "explain {evil}",
    "explain load evil.ko --offline",
    "explain load {evil}.ko --offline",
    "new {evil}",
    "new hello --template {evil}",
    "update",
    "sign evil.ko --key {evil}",
    "sign {evil}",
    "package dkms",
    "kbuild add-module {evil}",
    "kbuild add-source {evil}.c",
    "kernel list",
    "kernel default {evil}",
    "kernel add --build {evil}",
    "kernel remove {evil}",
    "sandbox status",
    "sandbox stop",
    "cache",
    "cache prune",
    "doctor",
    "{evil}",
    "list --{evil}",
)


@pytest.fixture
def evil_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, a Kbuild, a module and settings that try to steer the terminal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{EVIL}"))
    World().stored()
    place = tmp_path / f"dir{EVIL}"
    place.mkdir()
    (place / "Kbuild").write_text(f"$(info {EVIL})\n$(warning {EVIL})\nobj-m := evil.o {EVIL}.o\n")
    (place / "evil.c").write_text(HELLO + f"/* {EVIL} */\n")
    info = [
        ("description", EVIL),
        ("author", EVIL),
        ("firmware", EVIL),
        ("alias", EVIL),
        ("parm", f"{EVIL}:{EVIL}"),
    ]
    (place / "evil.ko").write_bytes(Ko("evil", info=info, vermagic=EVIL, license=EVIL, depends=EVIL).bytes())
    (place / ".kscaffold.toml").write_text(f'schema = 1\nkscaffold = "{EVIL!a}"\n')
    monkeypatch.chdir(place)
    return place


def test_no_command_passes_on_what_steers_a_terminal(ks, evil_place: Path):
    for command in COMMANDS:
        ran = ks(*(word.replace("{evil}", EVIL) for word in command.split()))
        assert ran.status != EXIT_BUG, (command, ran.err)
        found = STEERS.search(ran.out + ran.err)
        assert found is None, (command, (ran.out + ran.err)[max(0, found.start() - 80) : found.end() + 20])


@pytest.mark.parametrize("text", [f"[    1.000000] evil: {EVIL} Unknown symbol {EVIL} (err -2)\n", EVIL])
def test_a_log_on_stdin(tmp_path: Path, text: str):
    argv = [sys.executable, "-m", "kscaffold", "explain", "-"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(argv, input=text.encode(), capture_output=True, env=env)
    assert STEERS.search((ran.stdout + ran.stderr).decode()) is None


@pytest.mark.parametrize("command", ["check evil.ko", "list", "adopt", "doctor"])
def test_a_terminal_gets_our_colours_and_nothing_else(evil_place: Path, command: str):
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {
        "TERM": "xterm",
        "PYTHONPATH": str(ROOT),
    }
    reader, writer = pty.openpty()
    argv = [sys.executable, "-m", "kscaffold", *command.split()]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, env=env)
    os.close(writer)
    said = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # EIO: the last writer has closed it
            break
        if not part:
            break
        said += part
    os.close(reader)
    assert child.wait() in (0, 1, 69)
    text = said.decode().replace("\r\n", "\n")
    assert command == "list" or OURS.search(text)
    assert STEERS.search(OURS.sub("", text)) is None, text


def test_the_one_door_cleans_what_it_writes(monkeypatch: pytest.MonkeyPatch):
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    console.note(f"a\tb\u00a0c é {EVIL}\n\udfff31m\rend")
    assert heard.getvalue() == ("a\tb\u00a0c é \\x1b]0;pwned\\x07\\x1b[2J\\x9b31m\\x202e\n\x1b[31m\\x0dend\n")
