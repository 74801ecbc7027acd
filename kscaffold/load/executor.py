"""Independent jobs, done side by side by any executor of concurrent.futures. Nothing here schedules."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from kscaffold import process

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK = 0.2  # s between two looks for Ctrl-C


def do_jobs(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    executor: Executor | None = None,
    *,
    prepare: Callable[[Job], object] = lambda job: None,
    follow: Callable[[Job, Result], Sequence[Job]] = lambda job, result: (),
) -> Iterator[tuple[Job, Result]]:
    """Each job with what `work` gave for it, in the order in which they end. `follow`: jobs that can begin
    now that one has ended. An exception of `work` is raised, and what has not begun is not done then.

    `executor`: `work`, jobs and results must bear pickling. None: threads of this process, as many at work as
    it may use processors; `prepare`, which waits more than it works, is done for all jobs at once there.
    """
    if executor is not None:
        yield from _hand_out(work, jobs, executor, follow, {})
        return
    room = threading.Semaphore(len(os.sched_getaffinity(0)))
    pending: dict[Future[Result], Job] = {}

    def prepared(job: Job) -> Result:
        prepare(job)
        with room:
            return work(job)

    # A thread for each job: those that wait for room, or for a fetch, cost nothing.
    with ThreadPoolExecutor(max(1, len(jobs))) as threads:
        try:
            yield from _hand_out(prepared, jobs, threads, follow, pending)
        except BaseException:
            # A thread that waits for a program does not hear of Ctrl-C.
            while wait(pending, _LOOK).not_done:
                process.end_children()
            raise


def _hand_out(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    executor: Executor,
    follow: Callable[[Job, Result], Sequence[Job]],
    pending: dict[Future[Result], Job],
) -> Iterator[tuple[Job, Result]]:
    try:
        pending |= {executor.submit(work, job): job for job in jobs}
        while pending:
            for future in wait(pending, _LOOK, FIRST_COMPLETED).done:
                job, result = pending.pop(future), future.result()
                pending |= {executor.submit(work, more): more for more in follow(job, result)}
                yield job, result
    except BaseException:
        for future in pending:
            future.cancel()
        raise
