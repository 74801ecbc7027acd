"""How an answer of `explain` is laid out for 80 columns."""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kscaffold import console

if TYPE_CHECKING:
    from kscaffold.diagnosis.stages import Stage
    from kscaffold.explain.explain import Explanation
    from kscaffold.explain.log import MatchedEntry
    from kscaffold.explain.topics import Topic

_WIDTH = 78


def lines(answer: "Explanation") -> Iterable[str]:
    """The lines of an answer."""
    if answer.kind not in ("code", "word") and not (answer.kind == "stage" and len(answer.steps) == 1):
        yield console.styled(answer.title, "bold")
        yield ""
    if answer.text and answer.kind not in ("course", "return", "commands"):
        yield from _wrapped(answer.text)
        yield ""
    if answer.kind == "course":
        yield from _course(answer)
        return
    yield from _steps(answer.steps)
    yield from _returns(answer)
    yield from _commands(answer)
    if answer.kind in ("return", "commands"):
        yield from _wrapped(answer.text)
    yield from _entries(answer)
    if answer.folded:
        yield from _wrapped("Harmless lines, left out: " + _codes(answer.folded))


def listed(topics: "Iterable[Topic]") -> Iterable[str]:
    """`explain --list`: groups of topics, a line each, long ones folded."""
    group = ""
    for topic in topics:
        if topic.group != group:
            if group:
                yield ""
            group = topic.group
            yield console.styled(group.capitalize(), "bold")
        yield from _wrapped(f"  {topic.name:<19} {topic.title}", hanging=22)


def _entries(answer: "Explanation") -> Iterable[str]:
    if answer.kind not in ("stage", "errno"):
        for matched in answer.entries:
            yield from _entry(matched, proof=answer.kind != "log")
        return
    if answer.kind == "stage" and answer.entries:
        yield "What can be wrong here:"
        yield ""
    for matched in answer.entries:
        yield from _short_entry(matched, answer.kind == "errno")
    if answer.entries:
        yield from ([""] if answer.kind == "stage" else [])
        yield "To read one of them:"
        yield "kscaffold explain " + answer.entries[0].entry.code


def _course(answer: "Explanation") -> Iterable[str]:
    from kscaffold.explain import tables  # start-up time

    yield from _wrapped(answer.text)
    yield ""
    yield from _steps(answer.steps)
    yield console.styled("What init returns", "bold")
    yield ""
    yield from _returns(answer)
    yield from _wrapped(tables.RETURNS_NOTE)
    yield ""
    yield console.styled("The commands you know, and ours", "bold")
    yield ""
    yield from _commands(answer)
    yield from _wrapped(tables.COMMANDS_NOTE)
    yield ""
    yield "More: kscaffold explain STAGE, an errno such as EPERM, or a code such as KS204;"
    yield "      dmesg | kscaffold explain"


def _steps(steps: "Iterable[Stage]") -> Iterable[str]:
    # start-up time
    from kscaffold.diagnosis.course import COURSE
    from kscaffold.diagnosis.stages import index

    for step in steps:
        yield f"{index(step.id) + 1:>2}  {console.styled(step.id, 'bold')}: {step.title}"
        for number in step.course:
            yield f"    [course, step {number}: {COURSE[number]}]"
        yield from _wrapped(step.what, 4)
        if step.course_differs:
            yield from _wrapped(step.course_differs, 4)
        if step.elsewhere:
            yield from _wrapped(f"Other kernels: {step.elsewhere}", 4)
        yield from _wrapped("Functions: " + ", ".join(step.functions), 4)
        yield ""


def _returns(answer: "Explanation") -> Iterable[str]:
    for row in answer.returns:
        yield f"  {console.styled(row.value, 'bold')}: {row.meaning}"
        yield f"      insmod {row.insmod}"
        yield f"      lsmod  {row.lsmod}"
        yield from _wrapped(f"log    {row.log}", 6, 13)
    if answer.returns:
        yield ""


def _commands(answer: "Explanation") -> Iterable[str]:
    for row in answer.commands:
        yield f"  {row.plain:<18}{row.wrapped:<20}{row.does}"
    if answer.commands:
        yield ""


def _entry(matched: "MatchedEntry", *, proof: bool) -> Iterable[str]:
    entry = matched.entry
    yield f"{console.styled(entry.code, 'yellow')}: {console.styled(entry.title, 'bold')}"
    for line in matched.lines[:3]:
        yield f"    > {console.printable(line)[: console.width(_WIDTH) - 6]}"
    if len(matched.lines) > 3:
        yield f"    > … and {len(matched.lines) - 3} more"
    yield from _wrapped(entry.what, 4)
    # The lines of a log are the proof.
    for name, text in (
        ("proof", entry.proof if proof else ""),
        ("cause", matched.cause),
        ("fix", matched.fix),
    ):
        if text:
            yield from _named(name, console.printable(text))
    for place in entry.see:
        yield from _named("see", place)
    yield ""


def _short_entry(matched: "MatchedEntry", at_length: bool) -> Iterable[str]:
    stage = f" (stage {matched.entry.stage})" if matched.entry.stage and at_length else ""
    yield from _wrapped(f"{matched.entry.code}: {matched.entry.title}{stage}", 2, 9)
    if matched.entry.proof and at_length:
        yield from _wrapped(matched.entry.proof, 9)
        yield ""


def _named(name: str, text: str) -> Iterable[str]:
    room = console.width(_WIDTH) - 11
    first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield f"    {console.styled(f'{name:>5}', 'cyan')}: {first}"
    for line in rest:
        yield " " * 11 + line


def _codes(matches: "Iterable[MatchedEntry]") -> str:
    return "; ".join(f"{t.entry.code} ({t.entry.title})" for t in matches)


def _wrapped(text: str, indent: int = 0, hanging: int | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        console.width(_WIDTH),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if hanging is None else hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
