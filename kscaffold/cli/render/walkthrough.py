"""The story of one load on a terminal: the waterfall, and under each stage what it did for this .ko."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from kscaffold import console
from kscaffold.cli.documents import explain as documents
from kscaffold.cli.render import load, waterfall
from kscaffold.diagnosis.course import COURSE
from kscaffold.diagnosis.trace import StageTime
from kscaffold.errors import EXIT_NO, EXIT_NO_ANSWER, EXIT_YES
from kscaffold.explain.phrases import headline, untimed
from kscaffold.explain.questions import questions
from kscaffold.explain.stage_facts import StageFacts
from kscaffold.explain.stages.fact import Fact, Source
from kscaffold.explain.walkthrough import LoadWalkthrough

_WIDTH = 79
_LABEL = 18
_INDENT = 6  # of the rows of a list
_NUMBER = re.compile(r"[\d,]+")
_ROWS = 6  # of a long list; -v shows every row
_MARKS: dict[Source, str] = {"kernel": "kernel", "trace": "trace", "build": "build"}


def explained(walkthroughs: Sequence[LoadWalkthrough]) -> int:
    """Every load of `explain load`: the document, the text, and the exit status, which is the loads' own."""
    console.emit("explain", all(one.report.ok for one in walkthroughs), documents.walkthroughs(walkthroughs))
    for number, one in enumerate(walkthroughs):
        if number:
            console.out()
        print_walkthrough(one)
    verdicts = {one.report.judgement.verdict for one in walkthroughs}
    if "lost" in verdicts:
        return EXIT_NO_ANSWER
    return EXIT_YES if verdicts <= {"loaded"} else EXIT_NO


def print_walkthrough(walkthrough: LoadWalkthrough) -> None:
    """Print everything that is known of one load."""
    console.out(console.styled(headline(walkthrough.report), "bold" if walkthrough.report.ok else "red"))
    console.out()
    console.out(waterfall.HEAD)
    total = walkthrough.microseconds
    for number, step in enumerate(walkthrough.steps, 1):
        for line in _step(number, step, total, walkthrough):
            console.out(line)
    console.out(waterfall.total(total) if total else untimed(walkthrough.report))
    console.out()
    if walkthrough.report.note:
        console.out(f"note: {walkthrough.report.note}")
    load.log_lines(walkthrough.report.log, walkthrough.report.module)
    if walkthrough.report.ok:
        load.why(walkthrough.report)
    for line in _legend(walkthrough):
        console.out(line)
    console.out()
    for line in _questions(walkthrough):
        console.out(line)


def _questions(walkthrough: LoadWalkthrough) -> Iterator[str]:
    """The questions that a teacher asks of this load, each with its answer, as on the page."""
    for number, asked in enumerate(questions(walkthrough), 1):
        yield console.styled(f"{f'{number}.':<3} {asked.question}", "bold")
        yield from textwrap.wrap(
            console.printable(asked.answer),
            console.width(_WIDTH),
            initial_indent=" " * 4,
            subsequent_indent=" " * 4,
            break_on_hyphens=False,
        )


def _step(number: int, step: StageFacts, total: int, walkthrough: LoadWalkthrough) -> Iterator[str]:
    stage = StageTime(step.stage.id, step.status, step.microseconds)
    shown = waterfall.time_text(walkthrough.report, stage, step.within)
    yield waterfall.row(number, stage, (step.start or 0, step.microseconds, total), shown)
    if step.status not in ("passed", "failed"):
        return
    yield f"    {console.styled(step.stage.title, 'bold')}"
    for course in step.stage.course:
        yield f"    [course, step {course}: {COURSE[course]}]"
    for fact in step.facts:
        yield from _fact(fact)
    if step.status == "failed":
        yield from _failure(walkthrough)
    yield ""


def _failure(walkthrough: LoadWalkthrough) -> Iterator[str]:
    j, report = walkthrough.report.judgement, walkthrough.report
    for name, text in (("cause", j.cause), ("fix", console.placed(j.fix or ""))):
        if text:
            yield from _wrapped(name, text, "red" if name == "cause" else "green")
    if walkthrough.flaw:
        yield from _wrapped("the file", walkthrough.flaw, "red")
    if report.place:
        yield from _wrapped("source", f"{report.place}, {report.place.function}()", "red")
    if j.code:
        yield from _wrapped("more", f"kscaffold explain {j.code}", "green")


def _fact(fact: Fact) -> Iterator[str]:
    mark = f" ({_MARKS[fact.source]})" if fact.source in _MARKS else ""
    yield from _wrapped(fact.label, fact.value + mark)
    few = fact.rows if console.verbose or len(fact.rows) == _ROWS + 1 else fact.rows[:_ROWS]
    if few:
        table = [fact.columns, *[tuple(console.printable(cell) for cell in row) for row in few]]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        right = [all(_NUMBER.fullmatch(row[i]) for row in table[1:]) for i in range(len(widths))]
        yield console.styled(_row(table[0], widths, right), "dim")
        for row in table[1:]:
            first, *rest = textwrap.wrap(
                _row(row, widths, right),
                _WIDTH,
                subsequent_indent=" " * (_INDENT + sum(widths[:-1]) + 2 * len(widths[:-1])),
                break_long_words=False,
                break_on_hyphens=False,
            )
            yield first
            yield from rest
    if len(few) < len(fact.rows):
        yield f"{'':<{_INDENT}}… and {len(fact.rows) - len(few)} more: -v shows all"


def _row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (
        f"{cell:>{width}}" if number else f"{cell:<{width}}"
        for cell, width, number in zip(row, widths, right, strict=True)
    )
    return f"{'':<{_INDENT}}{'  '.join(cells)}".rstrip()


def _wrapped(label: str, text: str, style: str = "cyan") -> Iterator[str]:
    room = console.width(_WIDTH) - 4 - _LABEL
    first, *rest = textwrap.wrap(console.printable(text), room, break_on_hyphens=False) or [""]
    yield f"    {console.styled(f'{label:<{_LABEL}}', style)}{first}"
    for line in rest:
        yield f"{'':<{4 + _LABEL}}{line}"


def _legend(walkthrough: LoadWalkthrough) -> Iterator[str]:
    if any(step.within for step in walkthrough.steps):
        yield waterfall.WITHIN
    if any(fact.source in _MARKS for step in walkthrough.steps for fact in step.facts):
        yield "(kernel): the kernel said so after the load; (trace): seen while it worked;"
        yield "(build): in the kernel's files. All else is in the .ko, or was asked for."
