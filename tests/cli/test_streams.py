"""Standard streams that are closed, full, or that nobody reads: an exit status, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold import console
from kscaffold.cli.app import main
from tests.conftest import ROOT

# With the status of each, in an empty directory and without a sandbox.
_COMMANDS = (
    ("--version", 0),
    ("--help", 0),
    ("explain KS617", 0),
    ("kernel list", 0),
    ("list --json", 0),
    ("logs", 0),
    ("unload --json", 1),
)


def _ran(command: str, streams: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run it from a shell, which closes and fills streams."""
    script = f"exec {sys.executable} -m kscaffold {command} {streams}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env, cwd=home, timeout=60)


@pytest.mark.parametrize(("command", "status"), _COMMANDS)
def test_streams_that_are_closed_or_full(tmp_path, command, status):
    right = _ran(command, "", tmp_path)
    assert right.returncode == status
    for streams, out, err in (
        (">&-", "", right.stderr),
        ("2>&-", right.stdout, ""),
        ("<&-", right.stdout, right.stderr),
        ("<&- >&- 2>&-", "", ""),
        ("2>/dev/full", right.stdout, ""),
    ):
        ran = _ran(command, streams, tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (status, out, err), streams
    full = _ran(command, ">/dev/full", tmp_path)
    if right.stdout:
        assert full.returncode == 69
        assert "error[KS005]: no space left on device" in full.stderr and "Traceback" not in full.stderr
    assert _ran(command, ">/dev/full 2>/dev/full", tmp_path).returncode == full.returncode


def test_nothing_is_left_to_be_written_at_exit(monkeypatch):
    """Python writes what is left after main(), and ends with 120 where it can't. Its own stderr keeps that
    from 3.13 on, as these streams do.
    """
    with open("/dev/full", "w") as out, open("/dev/full", "w") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        status = main(["--version"])
        monkeypatch.undo()
        out.flush()
        err.flush()
    assert status == 69


@pytest.mark.parametrize("command", [command for command, _ in _COMMANDS])
def test_a_reader_that_has_gone_is_no_error(tmp_path, command):
    """Nobody has seen an answer, so none is given by the status."""
    read, write = os.pipe()
    os.close(read)
    argv = [sys.executable, "-m", "kscaffold", *command.split()]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv,
        stdout=write,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=env,
        cwd=tmp_path,
        timeout=60,
    )
    os.close(write)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"error[" not in done.stderr


def test_a_closed_stdout_is_not_taken_by_a_file(tmp_path):
    """Else what is printed goes into the next file that is opened."""
    (tmp_path / "Kbuild").write_text("obj-m := one.o\n")
    (tmp_path / "one.c").write_text("int x;\n")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    assert _ran("list", ">&- 2>&-", tmp_path).returncode == 0
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("words", ["-q new made", "new made -q", "new made --quiet"])
def test_quiet_leaves_answers_warnings_and_errors(ks, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    ran = ks(*words.split())
    assert (ran.status, ran.out, ran.err) == (0, "", "") and (tmp_path / "made/Kbuild").exists()
    assert ks(*words.split()).err.startswith("error[")
    assert ks("new", "again").err != ""


def test_colours_can_be_forced_and_forbidden(ks, monkeypatch):
    assert "\033[" not in ks("explain", "KS204").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\033[" not in ks("explain", "KS204").out  # NO_COLOR is stronger
    monkeypatch.delenv("NO_COLOR")
    assert "\033[" in ks("explain", "KS204").out


def test_quiet_behind_exec_is_the_program_s(ks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ks("exec", "--offline", "./none", "-q").err != ""
    assert console.quiet is False
