"""`explain`: of a topic, of a log, or of this very .ko."""

import os
import re
import select
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import explain as documents
from kscaffold.errors import EXIT_NO, EXIT_YES, KscaffoldError, UsageError

if TYPE_CHECKING:
    from kscaffold.load.request import LoadRequest, TargetRequest

# A program, a kernel or a sandbox that can't be had.
_NO_GUEST = ("KS001", "KS5", "KS6")
# Without -C: that is a letter of -EACCES.
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory", metavar="DIR", exists=True, file_okay=False, help="Act there instead of here."
    ),
]

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
    # Options that are none reach us as topics, since -1 and -EPERM have to.
    for word in topic or []:
        if word.startswith("-") and not re.fullmatch(r"-|-\d+|-E[A-Z0-9]+", word):
            raise UsageError("KS004", f"no such option: {word}", fix="kscaffold explain --help")
    given = any((html, kernel, module, no_build, no_deps, timeout != 10.0, cmdline, offline, directory))
    if topic and topic[0] == "load":
        here, meant = directory or Path.cwd(), given or len(topic) > 1
        if not meant and not _is_in_project(here):
            return _topic("load")
        from kscaffold.load.request import LoadRequest, TargetRequest  # start-up time

        request = LoadRequest.from_words(
            topic[1:], here, module, build=not no_build, dependencies=not no_deps
        )
        return _load(request, TargetRequest(False, kernel, cmdline, None, offline), timeout, html, meant)
    if given:
        raise UsageError("KS004", "these options are for explain load", fix="kscaffold explain load")
    return _topic(" ".join(topic or []))


def _load(
    request: "LoadRequest", where: "TargetRequest", timeout: float, html: Path | None, meant: bool
) -> int:
    """Load, and tell; where no guest can be had, the general text. `meant`: a .ko, a parameter or an option
    was given, so only a load will do.
    """
    if html is not None:
        from kscaffold.cli.render import html as page  # start-up time: few want one

        page.check_path(html)
    from kscaffold.explain.explain_load import explain_load  # start-up time

    try:
        done = explain_load(request, where, timeout=timeout, progress=console.progress())
    except KscaffoldError as error:
        if meant or not error.code.startswith(_NO_GUEST):
            raise
        status = _topic("load")
        cause = f" ({error.cause})" if error.cause else ""
        fix = f"\n  fix: {error.fix}" if error.fix else ""
        console.note(f"this project's own module could not be loaded: {error.what}{cause}{fix}")
        return status
    if done.failed_build:
        from kscaffold.cli.render.build import failed_build  # start-up time: most builds go well

        return failed_build("explain", done.failed_build)
    if html is not None:
        page.write_page(html, done.loads)
    from kscaffold.cli.render import walkthrough  # start-up time

    return walkthrough.explained(done.loads)


def _is_in_project(here: Path) -> bool:
    from kscaffold.project.find import find_project  # start-up time

    try:
        find_project(here)
    except KscaffoldError as error:
        return error.code != "KS101"
    return True


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
    from kscaffold.cli.render import explain as render  # start-up time

    for line in render.lines(answer):
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
