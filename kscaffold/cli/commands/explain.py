"""`explain`: of a topic, of a log, or of this very .ko."""

import errno
import os
import re
import select
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.documents import explain as documents
from kscaffold.errors import EXIT_NO, EXIT_YES, KscaffoldError, UsageError
from kscaffold.files.log_end import read_end

if TYPE_CHECKING:
    from kscaffold.load.request import LoadRequest, TargetRequest

# A program, a kernel or a sandbox that can't be had.
_NO_GUEST = ("KS001", "KS5", "KS6")
# Without -C here, which is a letter of -EACCES; `_split_directory` takes it from the words.
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="As -C DIR: act there instead of here.",
    ),
]

# How long a pipe that nobody writes into may keep us (journalctl takes a second to begin).
_PATIENCE = 3.0


def explain(
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC|CODE|FILE|-|load [KO] [PARAM=VALUE]...]",
            help="A stage, an errno, a code (KS204), return, commands, a line or a FILE of a log, - for one "
            "on stdin; load: this project's module or a .ko, loaded into a sandbox of its own and told step "
            "by step.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List all topics and codes.")] = False,
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
    topic, directory = _split_directory(topic, directory)
    # Options that are none reach us as topics, since -1 and -EPERM have to.
    for word in topic or []:
        if word.startswith("-") and not re.fullmatch(r"-|-\d+|-E[A-Z0-9]+|-objs|-y", word):
            raise UsageError("KS004", f"no such option: {word}", fix="kscaffold explain --help")
    if list_:
        return _listed()
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
    return _topic(" ".join(topic or []), _log_of_file(topic or []))


def _split_directory(topic: list[str] | None, directory: Path | None) -> tuple[list[str] | None, Path | None]:
    """The words without `-C DIR`, and that directory."""
    words = list(topic or ())
    if "-C" not in words:
        return topic, directory
    at = words.index("-C")
    given = Path(words[at + 1]) if at + 1 < len(words) else None
    if given is None or not given.is_dir():
        raise UsageError(
            "KS004", f"-C needs a directory, and {given or 'nothing'} is none", fix="kscaffold explain --help"
        )
    return words[:at] + words[at + 2 :], options.named_directory(given)


def _listed() -> int:
    """Every topic and code, a line each."""
    from kscaffold.cli.render import explain as render  # start-up time
    from kscaffold.explain.topics import topics

    found = topics()
    console.emit("explain", True, documents.topics(found))
    for line in render.listed(found):
        console.out(line)
    return EXIT_YES


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


def _topic(words: str, log: str | None = None) -> int:
    from kscaffold.explain.explain import explain as ask  # start-up time

    log = log if log is not None else _log_on_stdin(words)
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


def _is_topic(word: str) -> bool:
    from kscaffold.explain.explain import explain as ask  # start-up time

    return ask(word).known


def _log_of_file(words: list[str]) -> str | None:
    """The log in the file that is meant: one argument that is no topic of its own."""
    if len(words) != 1:
        return None
    word, path = words[0], Path(words[0])
    mode = _mode(path)
    is_file = stat.S_ISREG(mode)
    if not re.search(r"[/.]", word) and not (is_file and not _is_topic(word)):
        return None
    if not is_file:
        if "/" in word and mode and not stat.S_ISDIR(mode):  # a FIFO of <(dmesg), a device
            import shlex  # start-up time: seldom needed

            raise UsageError(
                "KS402",
                f"{word} is not a plain file",
                cause="reading it may never end; explain reads such only as its standard input",
                fix=f"kscaffold explain - < {shlex.quote(word)}",
            )
        if "/" in word and " " not in word and re.search(r"\.(?:log|txt|out)$", word):
            raise UsageError("KS401", f"no such file: {word}", fix=f"ls -l {path.parent}")
        return None
    try:
        with path.open("rb") as file:
            head = os.pread(file.fileno(), 4096, 0)
            text, left_out = read_end(file.fileno())
    except OSError as error:
        message = f"{words[0]}: {error.strerror}"
        raise UsageError("KS402", message, fix=f"sudo cat {words[0]} | kscaffold explain -") from None
    if b"\0" in head:
        fix = f"kscaffold check {words[0]}; kscaffold explain load {words[0]}"
        raise UsageError("KS402", f"{words[0]} is no text: explain reads logs", fix=fix)
    _tell_left_out(left_out)
    return text


def _mode(path: Path) -> int:
    """The type of a file and its permissions; 0 where there is none: a line of a log is too long a name."""
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise
        return 0


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
    text, left_out = read_end(fd)
    _tell_left_out(left_out)
    return text if words == "-" or text.strip() else None


def _tell_left_out(left_out: str | None) -> None:
    if left_out:
        console.note(f"{left_out}; the lines before may hold the first cause: dmesg | grep …, or split -b 4M")


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
