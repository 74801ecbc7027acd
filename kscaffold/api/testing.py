"""The tests of a project."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kscaffold.testing.run import TestRun


def test(
    *paths: str | Path,
    directory: str | Path = ".",
    kernels: "Sequence[str]" = (),
    progress: Progress = SILENT,
) -> "TestRun":
    """Run the tests of the project in `directory` with pytest, or the standard examination where it has none,
    on each of `kernels`. `progress.note` gets what pytest prints.
    """
    from kscaffold.testing.run import TestRequest  # start-up time
    from kscaffold.testing.run import test as run_tests

    request = TestRequest(Path(directory), tuple(map(Path, paths)), tuple(kernels))
    return run_tests(request, progress.note, progress=progress)
