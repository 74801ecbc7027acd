"""The command lines of make, as pure text: `make -C KDIR M=DIR …`, never the project's own `all:`."""

import os
from pathlib import Path

from kscaffold import process
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain


def make_argv(
    directory: Path, tree: BuildTree, tools: Toolchain, goal: str, jobs: int | None = None
) -> list[str]:
    """make's argument list for `goal` (`modules`, `clean`) in the project's directory."""
    jobs = jobs or len(os.sched_getaffinity(0))
    return [
        process.need("make"),
        "-C",
        str(tree.directory),
        f"M={directory}",
        *tools.variables,
        # With several compilers at once each one's messages stay together.
        *(["-O"] if jobs > 1 else []),
        f"-j{jobs}",
        goal,
    ]


def make_environment(directory: Path) -> dict[str, str]:
    """The environment of a make for the project in `directory`: $(PWD) is what it is after `cd directory`."""
    return process.environment({"PWD": str(directory)})
