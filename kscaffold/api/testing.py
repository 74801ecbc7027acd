"""The tests of a project, and its modules on many kernels."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.api.kernel import release_of
from kscaffold.api.loading import TIMEOUT, request_of
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from kscaffold.kernel.kernel import Kernel
    from kscaffold.load.verbs.matrix import Matrix
    from kscaffold.testing.run import TestRun


def test(
    *paths: str | Path,
    directory: str | Path = ".",
    kernels: "Sequence[str]" = (),
    instruments: "Sequence[str]" = (),
    executor: "Executor | None" = None,
    progress: Progress = SILENT,
) -> "TestRun":
    """Run the tests of the project in `directory` with pytest, or the standard examination where it has none,
    on each of `kernels`: side by side where there are several. `progress.note` gets what pytest prints.

    `instruments`: `sanitize`, whose reports fail a test; `coverage`, which the report has. `executor` gets a
    job for each kernel; None: threads. Its workers need this directory at the same path.
    """
    from kscaffold.load.request import Instruments  # start-up time
    from kscaffold.testing.run import TestRequest
    from kscaffold.testing.run import test as run_tests

    asked = Instruments.named(instruments)
    request = TestRequest(Path(directory), tuple(map(Path, paths)), tuple(kernels), instruments=asked)
    return run_tests(request, progress.note, executor=executor, progress=progress)


def matrix(
    *kos: str | Path,
    directory: str | Path = ".",
    kernels: "Sequence[str | Kernel]",
    sets: "Sequence[Sequence[str]]" = ((),),
    executor: "Executor | None" = None,
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Matrix":
    """Load and unload .ko files, or what the project in `directory` builds, on each of `kernels` with each of
    `sets` of parameters, side by side. A kernel that is not here is fetched; the checkout is not written to.

    `executor` gets a job for each kernel and set: any of concurrent.futures, such as Dask's
    `Client(…).get_executor()`; None: threads. Its workers need this directory at the same path. `timeout` of
    each load in seconds, in the kernel.
    """
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.verbs.matrix import matrix as run_matrix
    from kscaffold.module.arguments import kernel_string

    return run_matrix(
        request_of(kos, directory, ()),
        TargetRequest(),
        [release_of(kernel) for kernel in kernels],
        [kernel_string(list(one)) for one in sets],
        timeout=timeout,
        executor=executor,
        progress=progress,
    )
