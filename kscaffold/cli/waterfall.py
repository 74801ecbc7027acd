"""The waterfall of one load: a line a stage, in the kernel's order, with its state and its time."""

from kscaffold import console
from kscaffold.diagnosis.stages import BY_ID
from kscaffold.diagnosis.trace import StageTime
from kscaffold.load.report import LoadReport

_BAR = 24  # characters that stand for the whole time
_STATES = {
    "passed": ("passed", "green"),
    "failed": ("failed here", "red"),
    "not-reached": ("not reached", "dim"),
    "unobserved": ("not observable", "dim"),
}


def show(report: LoadReport) -> None:
    """The stages of a load. Steps are the course's; each bar begins where the stage above it ended."""
    total = sum(s.microseconds or 0 for s in report.judgement.stages)
    console.out(f"  {'stage':<11} {'step':<6} {'state':<14} {'time':>10}")
    spent = 0
    for stage in report.judgement.stages:
        console.out(f"  {_line(stage, spent, total)}".rstrip())
        spent += stage.microseconds or 0
    if total:
        console.out(f"  {'':<11} {'':<6} {'':<14} {_time(total):>10}")
    else:
        console.note("this load was not traced: only a sandbox can tell its stages' times")


def _line(stage: StageTime, spent: int, total: int) -> str:
    text, style = _STATES[stage.status]
    steps = ",".join(str(n) for n in BY_ID[stage.id].course) or "-"
    state = console.styled(f"{text:<14}", style)
    if stage.microseconds is None:
        return f"{stage.id:<11} {steps:<6} {state}"
    start = spent * _BAR // total if total else 0
    length = max(1, stage.microseconds * _BAR // total) if total else 1
    return f"{stage.id:<11} {steps:<6} {state} {_time(stage.microseconds):>10}  {' ' * start}{'#' * length}"


def _time(microseconds: int) -> str:
    return f"{microseconds / 1000:.2f} ms" if microseconds >= 1000 else f"{microseconds} µs"
