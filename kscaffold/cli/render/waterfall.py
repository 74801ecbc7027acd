"""The waterfall of one load: a line a stage, in the kernel's order, with its state and its time."""

from kscaffold import console
from kscaffold.diagnosis.stages import BY_ID
from kscaffold.diagnosis.trace import StageTime, enclosing_stage
from kscaffold.explain.phrases import lasted, time, untimed
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
        console.out(row(number, stage, bar, time_text(report, stage, enclosing_stage(stage, stages))))
        spent += stage.microseconds or 0
    if whole:
        console.out(total(whole))
        if any(enclosing_stage(stage, stages) for stage in stages):
            console.note(WITHIN)
    else:
        console.note(untimed(report))


def time_text(report: LoadReport, stage: StageTime, within: str | None) -> str:
    """The text of a stage in the column of times. `within`: the stage whose time includes that of `stage`."""
    if stage.microseconds is not None:
        return lasted(report, stage.status, stage.microseconds)
    return f"({within})" if within else ""


def row(number: int, stage: StageTime, bar: tuple[int, int | None, int], shown: str) -> str:
    """One stage. `bar`: when it began, how long it took (None: not known), and the whole, in microseconds;
    `shown`: its time in words.
    """
    start, length, whole = bar
    text, style = _STATES[stage.status]
    steps = ",".join(str(n) for n in BY_ID[stage.id].course) or "-"
    begin = f"{number:>2}  {stage.id:<11} {steps:<7} {console.styled(f'{text:<14}', style)} {shown:>13}"
    if length is None:
        return begin.rstrip()
    at = min(_BAR - 1, start * _BAR // whole) if whole else 0
    signs = max(1, min(_BAR - at, round(length * _BAR / whole))) if whole else 1
    return f"{begin}  {' ' * at}{'#' * signs}"


def total(microseconds: int) -> str:
    """The last line: the whole load."""
    return f"{'':<38} {time(microseconds):>13}"
