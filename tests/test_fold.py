"""Lines of a terminal of 80 columns, folded at words; what is piped on is not."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.fold import folded
from tests.conftest import ROOT

_LONG = "a word " * 30


@pytest.mark.parametrize(
    "label",
    [
        "  cause: ",
        "  complaint: ",
        "  allocated: ",
        "error[KS004]: ",
        "  | ",
        "      Loaded ",
        "      ok  ",
        "          cache: ",
        "> [    2.751151] ",
        "bob      failed  ",
        " 1-3  a()  b.c:6  ",
        "  \033[36mcause\033[0m: ",
    ],
)
@pytest.mark.parametrize("columns", [39, 79, 131])
def test_what_follows_hangs_below(label, columns):
    lines = folded(label + _LONG.strip(), columns).split("\n")
    hang = len(re.sub(r"\033\[\d+m", "", label))
    assert len(lines) > 1 and all(len(re.sub(r"\033\[\d+m", "", line)) <= columns for line in lines)
    assert all(re.match(rf" {{{hang}}}\S", line) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join((label + _LONG).split())


@pytest.mark.parametrize(
    "line",
    [
        f"      21 |     {_LONG}",
        f"+{_LONG}",
        f"hello   16384  0 {_LONG}",
        _LONG,
        "  cause: short",
        "  cause: " + "x" * 300,
    ],
)
def test_what_is_no_prose_stays(line):
    assert folded(line, 79) == line


def test_a_number_and_its_unit_stay_together():
    line = "         Ran hello.ko: loaded and unloaded (6.12.117+deb12-cloud-amd64) in 0.83 s"
    assert folded(line, 80) == line[: line.index(" 0.83")] + "\n" + " " * 13 + "0.83 s"
    line = "       Added 6.1.0-56-cloud-amd64 of bookworm (244 MB on disk)"
    assert folded(line, 52) == line[: line.index(" (244")] + "\n" + " " * 13 + "(244 MB on disk)"


def test_a_terminal_gets_folded_lines_and_a_pipe_whole_ones(tmp_path: Path):
    command = [sys.executable, "-m", "kscaffold", "load", f"./{'long-' * 12}.ko"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "60"}
    piped = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert max(len(line) for line in piped.stderr.splitlines()) > 60
    main, slave = pty.openpty()
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=slave, stdout=slave) as child:
        os.close(slave)
        child.wait(60)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert shown.replace("\r\n", " ").split() == piped.stderr.split()
    assert len(shown.splitlines()) > len(piped.stderr.splitlines())
