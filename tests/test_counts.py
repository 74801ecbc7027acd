"""How much a command does, in counts that are the same on every machine: processes, files, modules, requests
to the guest, blocks of it that QEMU translates, pages that a restore copies.

A change that adds to one of them raises the number here, knowingly; one that takes away lowers it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REAL_CACHE, ROOT

# What each command does on a project that is built, with its snapshot there: processes started, files opened
# (without Python's own, the kernels' records and Module.symvers of the directories above), and modules of
# kscaffold imported.
COUNTS = {
    "--version": (0, 0, 12),
    "__complete explain KS2": (0, 1, 10),
    "list": (0, 6, 126),
    "check": (1, 25, 103),
    "check hello.ko": (0, 18, 99),
    "build": (0, 4, 61),
    "run": (1, 16, 138),
}
REQUESTS = ["HELLO", "LOAD", "UNLOAD", "READ"]
# Six runs on 6.1, QEMU 7.2: 15,079 to 16,366 blocks (the timer's interrupts fall differently), 420 pages.
BLOCKS, PAGES = 18_000, 480

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]


@pytest.fixture
def hello(ks, kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is built, for the default kernel; its guest's snapshot is there, in a cache of its own:
    another kscaffold, as tests install and measure them, remembers its own command lines in a shared one.
    """
    release = kernel("6.1").release
    cache = tmp_path / "cache/kscaffold"
    cache.mkdir(parents=True, mode=0o700)
    for shared in ("kernels", "busybox"):
        (cache / shared).symlink_to(REAL_CACHE / "kscaffold" / shared)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    monkeypatch.chdir(tmp_path)
    assert ks("new", "hello").status == 0
    monkeypatch.chdir(tmp_path / "hello")
    assert ks("kernel", "default", release).status == 0
    assert ks("run").status == 0
    return tmp_path / "hello"


def _counts(at: Path, *argv: str) -> dict[str, Any]:
    """The counts of the second of two runs: the first one fills what is remembered."""
    result = at.parent / "counts.json"
    command = [sys.executable, "-m", "tests.support.counting", str(result), *argv]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=at, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    counts: dict[str, Any] = json.loads(result.read_text())
    return counts


def test_commands_do_what_they_did_and_no_more(hello: Path):
    counted = {line: _counts(hello, *line.split()) for line in COUNTS}
    assert {
        line: tuple(len(count[what]) for what in ("processes", "files", "modules"))
        for line, count in counted.items()
    } == COUNTS, {line: count["processes"] + count["files"] for line, count in counted.items()}


def test_a_run_asks_and_costs_its_guest_no_more_than_it_did(hello: Path):
    counted = _counts(hello, "run", "--guest")
    assert counted["requests"] == REQUESTS
    (guest,) = counted["guests"]
    assert 1_000 < guest["blocks"] <= BLOCKS
    assert 50 < guest["pages"] <= PAGES
