"""Whole-process wall times, taken in turns: so ratios hold on a machine that is busy with other things."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


class BenchError(Exception):
    """Something that is to be measured did not do its job; its time would mean nothing."""


@dataclass(frozen=True, slots=True)
class Took:
    """`seconds` on the wall; `cpu`: processor seconds of the program and of all it waited for."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured. `run` is timed by itself, `prepare` and `finish` are not timed.

    `bar`: the issue's limit in seconds. `against`: names of cases of the same turn whose sum it is
    compared with; `bar_ratio`: the issue's limit of that ratio. `why_not`: it can't be measured here.
    """

    name: str
    run: Callable[[], Took]
    prepare: Callable[[], object] | None = None
    finish: Callable[[], object] | None = None
    bar: float | None = None
    against: tuple[str, ...] = ()
    bar_ratio: float | None = None
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A case, measured. Seconds; `ratio` is the median of the ratios of each turn."""

    name: str
    count: int
    median: float
    least: float
    most: float
    cpu: float
    against: tuple[str, ...] = ()
    ratio: float | None = None
    bar: float | None = None
    bar_ratio: float | None = None
    why_not: str | None = None
    times: tuple[float, ...] = field(default=())

    @property
    def met(self) -> bool | None:
        """Whether the medians are within the bars; None where there is no bar, or no figure."""
        if self.why_not or (self.bar is None and self.bar_ratio is None):
            return None
        in_time = self.bar is None or self.median <= self.bar
        return in_time and (self.bar_ratio is None or self.ratio is None or self.ratio <= self.bar_ratio)


def program(argv: Sequence[str | Path], *, cwd: Path, timeout: float = 60, stdin: str = "") -> Took:
    """Time a program from its start until it is reaped. Raises BenchError unless it exits with 0 in time."""
    return checked(argv, cwd=cwd, timeout=timeout, stdin=stdin)[0]


def checked(
    argv: Sequence[str | Path], *, cwd: Path, timeout: float = 60, stdin: str = ""
) -> tuple[Took, str]:
    """As `program`, with what it printed on both streams."""
    words = [str(word) for word in argv]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(stdin.encode())
        given.seek(0)
        began = time.perf_counter()
        child = subprocess.Popen(
            words, cwd=cwd, stdin=given, stdout=said, stderr=subprocess.STDOUT, process_group=0
        )
        try:
            status, used = _reaped(child.pid, timeout)
        except BaseException:
            end_group(child)
            raise
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if child.returncode:
        raise BenchError(f"{' '.join(words)}: exit status {child.returncode}\n{text[-2000:]}")
    return Took(seconds, used.ru_utime + used.ru_stime), text


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """End a program of ours that leads a process group, with the group, and reap it."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(10)


def _reaped(pid: int, timeout: float) -> tuple[int, resource.struct_rusage]:
    """wait4(2) with a deadline. subprocess would not say what the program used."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise BenchError(f"process {pid} did not end within {timeout:g} s; it was ended")
    finally:
        os.close(handle)
    return os.wait4(pid, 0)[1:]


def here(work: Callable[[], object]) -> Took:
    """Time a function of this process, with the processor time of the children it waits for."""
    before, began = _cpu(), time.perf_counter()
    work()
    return Took(time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(cases: Sequence[Case], turns: int, warm_up: int, say: Callable[[str], None]) -> list[Row]:
    """Run all cases one after the other, turn by turn; the first `warm_up` turns don't count."""
    taken: dict[str, list[Took]] = {case.name: [] for case in cases}
    for turn in range(1 - warm_up, turns + 1):
        for case in cases:
            if case.why_not:
                continue
            say(f"{f'turn {turn} of {turns}' if turn > 0 else 'warm-up'}: {case.name}")
            if case.prepare:
                case.prepare()
            took = case.run()
            if turn > 0:
                taken[case.name].append(took)
            if case.finish:
                case.finish()
    return [_row(case, taken) for case in cases]


def _row(case: Case, taken: dict[str, list[Took]]) -> Row:
    if case.why_not:
        return Row(case.name, 0, 0, 0, 0, 0, why_not=case.why_not)
    mine = [took.seconds for took in taken[case.name]]
    others = [[took.seconds for took in taken.get(name, [])] for name in case.against]
    sums = [sum(turn) for turn in zip(*others, strict=False)] if others else []
    ratios = [a / b for a, b in zip(mine, sums, strict=False)]
    return Row(
        case.name,
        len(mine),
        median(mine),
        min(mine),
        max(mine),
        median(took.cpu for took in taken[case.name]),
        case.against if ratios else (),
        median(ratios) if ratios else None,
        case.bar,
        case.bar_ratio,
        None,
        tuple(mine),
    )
