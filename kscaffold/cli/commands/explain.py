"""explain: reads a topic or a log, asks the verb, lays the answer out for 80 columns."""

import os
import re
import select
import stat
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import explain as documents
from kscaffold.errors import EXIT_NO, EXIT_YES, UsageError

if TYPE_CHECKING:
    from kscaffold.diagnosis.stages import Stage
    from kscaffold.explain.explain import Explanation
    from kscaffold.explain.log import Told

# Without -C: that is a letter of -EACCES.
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory", metavar="DIR", exists=True, file_okay=False, help="Act there instead of here."
    ),
]

_WIDTH = 78
_MAX_LOG = 16 << 20  # bytes of a pasted log; what comes after them is not looked at
# How long a pipe that nobody writes into may keep us (journalctl takes a second to begin).
_PATIENCE = 3.0


def explain(
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC|CODE|-|load [KO] [PARAM=VALUE]...]",
            help="A stage, an errno, a code (KS204), return, commands, - for a log on stdin; load: this "
            "project's module or a .ko, loaded into a sandbox of its own and told step by step.",
            show_default=False,
        ),
    ] = None,
    html: options.Html = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    module: options.Module = None,
    no_build: options.NoBuild = False,
    no_deps: options.NoDeps = False,
    timeout: options.Timeout = 10.0,
    cmdline: options.Cmdline = "",
    offline: options.Offline = False,
    directory: Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Say what happens in a load, what a code or a pasted log means."""
    kernel = options.spec_of(kernel, arch)
    # Options that are none reach us as topics, since -1 and -EPERM have to.
    for word in topic or []:
        if word.startswith("-") and not re.fullmatch(r"-|-\d+|-E[A-Z0-9]+", word):
            raise UsageError("KS004", f"no such option: {word}", fix="kscaffold explain --help")
    given = any((html, kernel, module, no_build, no_deps, timeout != 10.0, cmdline, offline, directory))
    if topic and topic[0] == "load":
        from kscaffold.cli.commands.explain_load import WalkthroughRequest, explain_load  # start-up time

        without = (no_build, no_deps, offline)
        asked = WalkthroughRequest(topic[1:], kernel, module, without, timeout, cmdline, directory, html)
        answer = explain_load(asked, meant=given or len(topic) > 1)
        if isinstance(answer, int):
            return answer
        status = _topic("load")
        if answer:
            console.note(answer)
        return status
    if given:
        raise UsageError("KS004", "these options are for explain load", fix="kscaffold explain load")
    return _topic(" ".join(topic or []))


def _topic(words: str) -> int:
    from kscaffold.explain.explain import explain as ask  # start-up time

    log = _log_on_stdin(words)
    answer = ask(None if log is not None else words or None, log=log)
    console.emit("explain", answer.known, documents.explain(answer))
    if not answer.known:
        console.note(answer.title)
        if answer.text:
            console.note(f"    fix: {answer.text}")
        return EXIT_NO
    for line in _lines(answer):
        console.out(line)
    return EXIT_YES


def _log_on_stdin(words: str) -> str | None:
    """The log on standard input where one is meant: `-`, or no topic and a pipe or file with data."""
    if words not in ("", "-"):
        return None
    if sys.stdin is None or sys.stdin.closed:
        if words == "-":
            raise UsageError("KS004", "standard input is closed", fix="dmesg | kscaffold explain -")
        return None
    fd = 0
    if words == "" and not _has_data(fd):
        return None
    data = b""
    while len(data) < _MAX_LOG and (chunk := os.read(fd, 1 << 16)):
        data += chunk
    text = data.decode(errors="replace")
    return text if words == "-" or text.strip() else None


def _has_data(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    if stat.S_ISREG(mode):
        return True
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False  # a terminal, /dev/null
    return bool(select.select([fd], [], [], _PATIENCE)[0])


def _lines(answer: "Explanation") -> Iterable[str]:
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


def _entries(answer: "Explanation") -> Iterable[str]:
    if answer.kind not in ("stage", "errno"):
        for told in answer.entries:
            yield from _entry(told, proof=answer.kind != "log")
        return
    if answer.kind == "stage" and answer.entries:
        yield "What can be wrong here:"
        yield ""
    for told in answer.entries:
        yield from _short_entry(told, answer.kind == "errno")
    if answer.entries:
        yield "" if answer.kind == "stage" else "To read one of them:"
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
    from kscaffold.diagnosis.stages import COURSE, index  # start-up time

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


def _entry(told: "Told", *, proof: bool) -> Iterable[str]:
    entry = told.entry
    yield f"{console.styled(entry.code, 'yellow')}: {console.styled(entry.title, 'bold')}"
    for line in told.lines[:3]:
        yield f"    > {console.printable(line)[: console.width(_WIDTH) - 6]}"
    if len(told.lines) > 3:
        yield f"    > … and {len(told.lines) - 3} more"
    yield from _wrapped(entry.what, 4)
    # The lines of a log are the proof.
    for name, text in (("proof", entry.proof if proof else ""), ("cause", told.cause), ("fix", told.fix)):
        if text:
            yield from _named(name, console.printable(text))
    for place in entry.see:
        yield from _named("see", place)
    yield ""


def _short_entry(told: "Told", at_length: bool) -> Iterable[str]:
    stage = f" (stage {told.entry.stage})" if told.entry.stage and at_length else ""
    yield from _wrapped(f"{told.entry.code}: {told.entry.title}{stage}", 2, 9)
    if told.entry.proof and at_length:
        yield from _wrapped(told.entry.proof, 9)
        yield ""


def _named(name: str, text: str) -> Iterable[str]:
    room = console.width(_WIDTH) - 11
    first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield f"    {console.styled(f'{name:>5}', 'cyan')}: {first}"
    for line in rest:
        yield " " * 11 + line


def _codes(told: "Iterable[Told]") -> str:
    return "; ".join(f"{t.entry.code} ({t.entry.title})" for t in told)


def _wrapped(text: str, indent: int = 0, hanging: int | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        console.width(_WIDTH),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if hanging is None else hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
