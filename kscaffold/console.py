"""The only place that prints. Data goes to stdout, everything else to stderr.

With `--json` stdout carries exactly one JSON document (`logs -f`: one a line) and nothing else.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kscaffold import lazy
from kscaffold.errors import KscaffoldError

if TYPE_CHECKING:
    from kscaffold.progress import Progress, Work

SCHEMA = 1
_NARROWEST = 30
_BELOW = "\n" + " " * 9  # a line more of a cause or a fix
_WIDEST = 500

# Set once by main() from the command line.
json_mode = False
# Set by the one command that goes on and on: a document is a line then.
json_lines = False
verbose = False
# The command line's words: what mends it names the same directory.
words: Sequence[str] = ()
# Neither steps nor notes: answers, warnings and errors only.
quiet = False

# Stands for the beginning of an escape sequence of ours until a text is written: no text that is decoded
# holds it, so what is a control character then is somebody else's.
_STYLE = "\udfff"
_OWN = lazy.pattern(f"{_STYLE}([0-9]{{1,2}}m)")
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}


def open_streams() -> None:
    """Stand-ins for standard streams that were closed before we began. Else the next file opened would get
    such a number, and what children print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115 - for the whole run


def close_streams() -> OSError | None:
    """Hand out what is still to be written: Python would complain at exit. Why stdout could not take it."""
    why = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            why = error if stream is sys.stdout else why
    return why


def can_ask() -> bool:
    """Whether there is a person at a terminal who sees a question and can answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style where the stream is a terminal that shows it, else the plain text."""
    return f"{_STYLE}{_STYLES[style]}m{text}{_STYLE}0m" if _has_colour(stream or sys.stdout) else text


def _has_colour(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (os.environ.get("TERM") != "dumb" and stream.isatty())


def printable(text: str) -> str:
    """The text with control characters shown, not sent: a kernel log can hold escape sequences."""
    return "".join(c if c == "\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _harmless(text: str) -> str:
    """A text as a terminal may get it: our own styles, newlines and tabs, and nothing else that steers it."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    plain = "".join(c if _is_harmless(c) else f"\\x{ord(c):02x}" for c in text)
    return _OWN.sub("\033[\\1", plain).replace(_STYLE, "")


def _is_harmless(c: str) -> bool:
    # Bytes of a file name that are no text are lone surrogates; the reader sees them as such when they are
    # written.
    return c in "\n\t\xa0" or c.isprintable() or c == _STYLE or "\udc80" <= c <= "\udcff"


def width(most: int) -> int:
    """Columns for text that is folded: `most`, or what the terminal has."""
    import shutil  # start-up time: few commands fold

    return max(_NARROWEST, min(most, shutil.get_terminal_size().columns - 1))


def printable_lines(text: str) -> str:
    """The text, each of its lines printable."""
    return "\n".join(map(printable, text.split("\n")))


def out(text: str = "") -> None:
    """A line of data. Nothing with --json."""
    if not json_mode:
        _write(sys.stdout, text)


def clear() -> None:
    """An empty screen, where stdout is a terminal."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        sys.stdout.write("\033[2J\033[H")
        sys.stdout.flush()


def note(text: str) -> None:
    """A line about what is going on."""
    if not quiet:
        _write(sys.stderr, _placed(text))


def step(verb: str, text: str) -> None:
    """A step of the work, in cargo's manner: a right-aligned verb, then what it is done to."""
    if not quiet:
        _write(sys.stderr, f"{styled(f'{verb:>12}', 'green', sys.stderr)} {_one_line(_placed(text))}")


def detail(text: str) -> None:
    """A line only -v shows."""
    if verbose:
        _write(sys.stderr, styled(text, "dim", sys.stderr))


def _one_line(text: str) -> str:
    """The text, its line breaks shown: a name can hold some."""
    return text.replace("\n", "\\x0a")


def _placed(text: str) -> str:
    return placed(text) if "kscaffold " in text else text


def placed(fix: str, ko: Path | None = None) -> str:
    """A fix with the directory that this command line names, its kernel and the like. `ko`: the module that
    is to be mended."""
    from kscaffold.cli import named_place  # start-up time: few commands have a fix to tell

    return named_place.placed(fix, words, ko)


def fix_line(text: str, ko: Path | None = None) -> str:
    """The line that tells how to mend what was told above it, for standard output."""
    return f"    {styled('fix', 'cyan')}: {printable(placed(text, ko))}"


def warn(text: str, fix: str | None = None) -> None:
    """A warning on stderr, with the way to mend it."""
    _write(sys.stderr, f"{styled('warning', 'yellow', sys.stderr)}: {_one_line(text)}")
    if fix:
        _write(sys.stderr, f"    {styled('fix', 'cyan', sys.stderr)}: {placed(fix)}")


def progress() -> "Progress":
    """A Progress that shows what a verb reports on stderr. A compiler's lines can hold escape sequences."""
    from kscaffold.progress import Progress  # start-up time: --version reports nothing

    return Progress(step, lambda text: note(_compiler_s(printable_lines(text))), detail, warn, verbose, bar)


def _compiler_s(text: str) -> str:
    """The text, its lines that a compiler may have written coloured as by gcc."""
    if not _has_colour(sys.stderr):
        return text
    from kscaffold.message_colours import coloured  # start-up time: most commands compile nothing

    return "\n".join(coloured(line, lambda t, s: styled(t, s, sys.stderr)) for line in text.split("\n"))


@contextlib.contextmanager
def bar(work: "Work") -> Iterator[None]:
    """A bar on a terminal, for as long as the block takes."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    from kscaffold.bars import drawn  # start-up time: most commands have no long work

    with drawn(work):
        yield


def ask(question: str, default: str) -> str:
    """A line typed by the user (the question goes to stderr); the default for an empty one.

    Raises KeyboardInterrupt where the input ends: nothing was answered.
    """
    sys.stderr.write(_harmless(f"{question} [{printable(default)}]: "))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line.strip() or default


def failure(error: KscaffoldError, command: str, more: Mapping[str, Any] | None = None) -> None:
    """Say an error to people on stderr; with --json also as the one document on stdout, with `more` in it."""
    document = {"code": error.code, "message": error.what, "cause": error.cause, "fix": error.fix}
    with contextlib.suppress(OSError):  # stdout has no reader now; stderr may still have one
        emit(command, False, {"error": document, **(more or {})})
    # They repeat names and words that others have chosen: none begins a line as one of ours.
    cause, fix = (printable_lines(text or "").replace("\n", _BELOW) for text in (error.cause, error.fix))
    _write(sys.stderr, f"{styled('error', 'red', sys.stderr)}[{error.code}]: {printable(error.what)}")
    if cause:
        _write(sys.stderr, f"  {styled('cause', 'cyan', sys.stderr)}: {cause}")
    if fix:
        _write(sys.stderr, f"    {styled('fix', 'cyan', sys.stderr)}: {placed(fix)}")


def emit(command: str, ok: bool, fields: Mapping[str, Any]) -> None:
    """The JSON document of a command, when --json asked for one."""
    if json_mode:
        from kscaffold.cli.named_place import placed_document  # start-up time: only JSON has documents

        document = {"schema": SCHEMA, "command": command, "ok": ok, **placed_document(dict(fields), words)}
        indent = None if json_lines else 2
        # ASCII, so that no terminal encoding and no lone surrogate of a file name can break it.
        sys.stdout.write(json.dumps(document, indent=indent, ensure_ascii=True) + "\n")
        sys.stdout.flush()


def _folded(text: str) -> str:
    """The lines that a terminal would break in the middle of a word."""
    columns = width(_WIDEST)
    if all(len(line) < columns for line in text.split("\n")):
        return text
    from kscaffold.fold import folded  # start-up time: most lines are short

    return "\n".join(folded(line, columns) for line in text.split("\n"))


def _write(stream: TextIO, text: str) -> None:
    # A remark that can't be made ends nothing; data that nobody gets does.
    text = _harmless(text)
    text = _folded(text) if stream.isatty() else text
    with contextlib.suppress(*([OSError] if stream is sys.stderr else [])):
        try:
            stream.write(text + "\n")
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
