"""Build trees to run plain make against: those KSCAFFOLD_TEST_KDIRS names, else fetched kernels' own.

def test_something(tree):      # once for each of 5.10, 6.1 and 6.12
    assert tree.make(project).returncode == 0
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from tests.conftest import need_program
from tests.support.kernels import need_kernel

SERIES = ("5.10", "6.1", "6.12")


@dataclass(frozen=True)
class Tree:
    """A kernel's build tree, and the variables make needs for it on this machine."""

    series: str
    kdir: Path
    variables: tuple[str, ...]

    def make(
        self, project: Path, *words: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        """make in a project, by its own Makefile; stdout has stderr in it."""
        return subprocess.run(
            ["make", f"KDIR={self.kdir}", *self.variables, *words],
            cwd=project,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )


def find_tree(series: str) -> Tree:
    """The tree of a series, or the test is skipped."""
    need_program("make", "make")
    for name in filter(None, os.environ.get("KSCAFFOLD_TEST_KDIRS", "").split(":")):
        if read_tree(Path(name)).release.startswith(f"{series}."):
            return _tree(series, Path(name))
    directory = need_kernel(series).build
    assert directory
    return _tree(series, directory)


def _tree(series: str, kdir: Path) -> Tree:
    return Tree(series, kdir, toolchain(read_tree(kdir)).variables)


@pytest.fixture(params=SERIES)
def tree(request: pytest.FixtureRequest) -> Tree:
    """Each kernel series in turn."""
    return find_tree(request.param)


@pytest.fixture
def tree_61() -> Tree:
    """One kernel, for what does not differ between them."""
    return find_tree("6.1")
