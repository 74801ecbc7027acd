"""Load and unload on several kernels, side by side: a job for each kernel and set of parameters."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.obtain import obtain
from kscaffold.load.executor import do_jobs
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.verbs.run import Run, run
from kscaffold.progress import SILENT, Progress
from kscaffold.project.find import find_project
from kscaffold.project.mirror import kernel_place
from kscaffold.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """The result for one kernel and one set of parameters. `kernel`: its release, or where there is none,
    the word it was asked for by. `run`: None where no answer could be had; `error` says why then.
    `seconds`: how long the job took. `arch`: the kernel's machine, as `uname -m` says it;
    empty where there is none.
    """

    kernel: str
    parameters: str
    run: Run | None
    error: KscaffoldError | None = None
    seconds: float = 0.0
    arch: str = ""

    @property
    def kernel_name(self) -> str:
        """The kernel, as people and --kernel name it."""
        return table.kernel_name(self.kernel, self.arch)

    @property
    def ok(self) -> bool:
        """Whether all was built, loaded and unloaded, and is clean."""
        return self.run is not None and self.run.ok


@dataclass(frozen=True, slots=True)
class Matrix:
    """The result of a matrix: its cells, kernel by kernel in the order they were named. `seconds`: of all."""

    cells: tuple[MatrixCell, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether there are cells, and each one is ok."""
        return bool(self.cells) and all(cell.ok for cell in self.cells)


@dataclass(frozen=True, slots=True)
class _Job:
    """`at`: its place in the matrix."""

    at: int
    request: LoadRequest
    where: TargetRequest
    parameters: str
    timeout: float


def matrix(
    request: LoadRequest,
    where: TargetRequest,
    kernels: Sequence[str | None],
    sets: Sequence[str] = ("",),
    *,
    timeout: float,
    executor: Executor | None = None,
    progress: Progress = SILENT,
) -> Matrix:
    """Run the modules of a request on each kernel with each of `sets`: parameters in the kernel's syntax. A
    project is built for each kernel in a directory of the kernel's own; a kernel that is not here is fetched.

    `executor` gets a job for each kernel and set, the first one of a kernel before its others: that one
    builds. None: threads. A cell without an answer has an error, and the others are done all the same.
    `timeout` of each load in seconds, in the kernel.
    """
    began = time.monotonic()
    jobs = [
        _Job(at, request, replace(where, kernel=kernel), one, timeout)
        for at, (kernel, one) in enumerate((kernel, one) for kernel in kernels for one in sets)
    ]

    def others(job: _Job, cell: MatrixCell) -> Sequence[_Job]:
        first = job.at % len(sets) == 0 and cell.run is not None and cell.run.failed_build is None
        return jobs[job.at + 1 : job.at + len(sets)] if first else ()

    def fetch(job: _Job) -> None:
        _ = _kernel(job, progress)

    done = {}
    firsts = jobs[:: len(sets)] if sets else []
    for job, cell in do_jobs(_cell, firsts, executor, prepare=fetch, follow=others):
        progress.step("Tried" if cell.ok else "Failed", f"{cell.kernel_name} {cell.parameters}".rstrip())
        done[job.at] = cell
    return Matrix(tuple(done[at] for at in sorted(done)), time.monotonic() - began)


def _cell(job: _Job) -> MatrixCell:
    began = time.monotonic()
    found = _kernel(job, SILENT)
    if isinstance(found, KscaffoldError):
        return MatrixCell(job.where.kernel or "", job.parameters, None, found)
    try:
        request = job.request
        if not request.kos:
            place = kernel_place(find_project(request.directory), found)
            request = replace(request, directory=place)
        where = replace(job.where, kernel=found.release)
        done = run(request, where, [job.parameters], timeout=job.timeout)
        seconds = time.monotonic() - began
        return MatrixCell(found.release, job.parameters, done, None, seconds, found.arch)
    except KscaffoldError as error:
        return MatrixCell(found.release, job.parameters, None, error, time.monotonic() - began, found.arch)


def _kernel(job: _Job, progress: Progress) -> Kernel | KscaffoldError:
    """A job's kernel, fetched where it is not here."""
    try:
        return obtain(job.where.kernel, offline=job.where.offline, progress=progress)
    except KscaffoldError as error:
        return error
