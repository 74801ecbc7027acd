"""The waterfall of one load: a line a stage, in the kernel's order, with its state and its time."""

from kscaffold import console
from kscaffold.diagnosis.stages import BY_ID
from kscaffold.diagnosis.trace import Status, holder
from kscaffold.explain.words import time, untimed
from kscaffold.load.report import LoadReport

_BAR = 22  # characters that stand for the whole time
_STATES = {
    "passed": ("passed", "green"),
    "failed": ("failed here", "red"),
    "not-reached": ("not reached", "dim"),
    "unobserved": ("not observable", "dim"),
}
WITHIN = "In brackets: nothing showed where a step began; the stage named holds its time"
HEAD = f" #  {'stage':<11} {'course':<7} {'state':<14} {'time':>13}"


def show(report: LoadReport) -> None:
    """The stages of a load, with the course's steps; each bar begins where the one above it ended."""
    stages = report.judgement.stages
    whole = sum(s.microseconds or 0 for s in stages)
    console.out(HEAD)
    spent = 0
    for number, stage in enumerate(stages, 1):
        bar = (spent, stage.microseconds, whole)
        console.out(row(number, stage.id, stage.status, bar, holder(stage, stages)))
        spent += stage.microseconds or 0
    if whole:
        console.out(total(whole))
        if any(holder(stage, stages) for stage in stages):
            console.note(WITHIN)
    else:
        console.note(untimed(report))


def row(number: int, stage: str, status: Status, bar: tuple[int, int | None, int], within: str | None) -> str:
    """One stage. `bar`: when it began, how long it took (None: not known), and the whole, in microseconds;
    `within`: the stage whose time holds that of this one.
    """
    start, length, whole = bar
    text, style = _STATES[status]
    steps = ",".join(str(n) for n in BY_ID[stage].course) or "-"
    begin = f"{number:>2}  {stage:<11} {steps:<7} {console.styled(f'{text:<14}', style)}"
    if length is None:
        return f"{begin} {f'({within})' if within else '':>13}".rstrip()
    at = min(_BAR - 1, start * _BAR // whole) if whole else 0
    signs = max(1, min(_BAR - at, round(length * _BAR / whole))) if whole else 1
    return f"{begin} {time(length):>13}  {' ' * at}{'#' * signs}"


def total(microseconds: int) -> str:
    """The last line: all of it."""
    return f"{'':<38} {time(microseconds):>13}"
