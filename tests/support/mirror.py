"""A Debian mirror in tests/data/mirror, and an apt that is set to it: `kernel add` without a network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kscaffold.packages import apt
from tests.conftest import ROOT, missing

OLD, NEW = "6.1.0-9-cloud-amd64", "6.12.3+deb13-cloud-amd64"


@dataclass(frozen=True)
class Mirror:
    """`directory`: a copy of the mirror, to be damaged at will. `cache`: kscaffold's, empty at first."""

    directory: Path
    sources: Path
    configuration: Path
    cache: Path
    programs: Path

    def use(self, line: str) -> None:
        """Set apt to another source."""
        self.sources.write_text(line + "\n")

    def program(self, name: str, script: str) -> None:
        """Put a program of the test's own before the real one, which is $REAL in it."""
        real = shutil.which(name, path=os.environ["PATH"].removeprefix(f"{self.programs}:"))
        file = self.programs / name
        file.write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
        file.chmod(0o755)

    def honest(self, name: str) -> None:
        """Take it away again."""
        (self.programs / name).unlink()

    def left(self) -> list[str]:
        """What half-made things there are in the cache, and kernels."""
        tmp = self.cache / "kscaffold/tmp"
        kernels = self.cache / "kscaffold/kernels"
        found = [f"tmp/{p.name}" for p in tmp.iterdir()] if tmp.is_dir() else []
        return sorted(found + [f"kernels/{p.name}" for p in kernels.iterdir()] if kernels.is_dir() else found)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    problem = apt.why_not()
    if problem:
        missing("apt", f"a Debian machine ({problem.cause})")
    made = Mirror(
        tmp_path / "mirror",
        tmp_path / "sources.list",
        tmp_path / "apt.conf",
        tmp_path / "cache",
        tmp_path / "programs",
    )
    shutil.copytree(ROOT / "tests/data/mirror", made.directory)
    (tmp_path / "parts").mkdir()
    made.programs.mkdir()
    made.use(f"deb [signed-by={made.directory}/key.gpg] file:{made.directory} stable main")
    made.configuration.write_text(
        f'Dir::Etc::sourcelist "{made.sources}";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(made.configuration))
    monkeypatch.setenv("XDG_CACHE_HOME", str(made.cache))
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made


def start(*argv: str | Path) -> "subprocess.Popen[str]":
    """kscaffold as a process of its own, in the test's world."""
    return subprocess.Popen(
        [sys.executable, "-m", "kscaffold", *map(str, argv)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(path: Path, child: "subprocess.Popen[str]") -> None:
    """Until a file is there; the test fails when the process ends before."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def group() -> Iterator[list[int]]:
    """Process ids that are killed when the test is over."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
