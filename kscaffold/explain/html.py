"""Stories of loads as one page for a browser: self-contained, without scripts, every text escaped."""

import os
import stat
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from kscaffold import __version__
from kscaffold.diagnosis.course import COURSE
from kscaffold.elf.model import Function
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.explain.phrases import gone, headline, lasted, time, untimed
from kscaffold.explain.questions import questions
from kscaffold.explain.stage_facts import StageFacts
from kscaffold.explain.stages.fact import SOURCES
from kscaffold.explain.walkthrough import LoadWalkthrough
from kscaffold.files.atomic import write_whole
from kscaffold.load.report import LoadReport
from kscaffold.records import dataclass

_STATES = {
    "passed": ("✓", "passed"),
    "failed": ("✗", "failed here"),
    "not-reached": ("–", "not reached"),
    "unobserved": ("?", "not observable"),
}
_NUMERIC = ("bytes", "number")
# Columns of short words, which are not broken on a narrow screen.
_WORDS = ("from", "for", "checksum", "address (kernel)", "type")
_MOST = 3000  # rows of one list: no module of the kernel's has more, and a hostile one fills no disk
_UNITS = 1000  # the width of a bar's picture
_MARK = b'<meta name="generator" content="kscaffold'
_HEAD = 1024  # bytes of a page in which the mark is


def check_path(path: Path) -> Path:
    """Where a page for `path` will be written: the file itself, or what a link points at.

    Raises UsageError KS063 where there is something that a page must not replace: a directory, a device,
    any file that is not such a page itself.
    """
    target = path.resolve()
    if not target.parent.is_dir():
        raise _refused(
            path, f"{target.parent} is not a directory", "name a file in a directory that is there"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise _refused(path, f"{target.parent} may not be written to", "name a file in a directory of yours")
    try:
        found = target.stat()
    except FileNotFoundError:
        return target
    except OSError as error:
        raise _refused(path, f"{error.strerror}".lower()) from None
    if stat.S_ISDIR(found.st_mode):
        raise _refused(path, "it is a directory", f"--html {path / 'load.html'}")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "it is not a regular file")
    with target.open("rb") as file:
        head = file.read(_HEAD)
    if head and _MARK not in head:
        raise _refused(path, "there is a file already, and kscaffold did not write it")
    return target


def _refused(path: Path, cause: str, fix: str = "name another file: --html load.html") -> UsageError:
    return UsageError("KS063", f"no page can be written to {path}", cause=cause, fix=fix)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page that follows the loads: a table, then lines of source under titles. A line is its
    number, its text, and whether it is marked.
    """

    title: str
    summary: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    sources: tuple[tuple[str, tuple[tuple[int, str, bool], ...]], ...] = ()


def write_page(path: Path, walkthroughs: Sequence[LoadWalkthrough], sections: Sequence[Section] = ()) -> None:
    """Write the page, whole or not at all. Raises as check(), and KS063 where there is no room."""
    write_text(path, render_page(walkthroughs, datetime.now().astimezone(), sections))


def write_text(path: Path, page: str) -> None:
    """Write a page that is rendered, as `write_page` does."""
    target = check_path(path)
    try:
        write_whole(target, page.encode(errors="backslashreplace"))
    except OSError as error:
        why = f"{error.strerror or error}".lower()
        fix = "name a file elsewhere: --html FILE"
        raise KscaffoldError(
            "KS063", f"the page could not be written to {path}", cause=why, fix=fix
        ) from None


def page(name: str) -> Template:
    """The template of a page, by its path in this package; what is filled in is escaped and `display`ed."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda path: files("kscaffold").joinpath(path).read_text(encoding="utf-8")),
    )
    environment.filters["shown"] = display
    return environment.get_template(name)


def render_page(
    walkthroughs: Sequence[LoadWalkthrough], when: datetime, sections: Sequence[Section] = ()
) -> str:
    """The page as text. `when`: the loads were made."""
    template = page("explain/page.html")
    names = ", ".join(one.report.path.name for one in walkthroughs)
    kernel = walkthroughs[0].report.kernel_name if walkthroughs else ""
    return template.render(
        walkthroughs=walkthroughs,
        sections=sections,
        title=f"{names} on {kernel}: what happened when it was loaded",
        version=__version__,
        date=when.strftime("%-d %B %Y, %H:%M:%S %Z"),
        stamp=when.isoformat(timespec="seconds"),
        course=COURSE,
        sources=SOURCES,
        signs={status: sign for status, (sign, _) in _STATES.items()},
        states={status: text for status, (_, text) in _STATES.items()},
        numeric=_NUMERIC,
        words=_WORDS,
        most=_MOST,
        headline=headline,
        gone=gone,
        time=time,
        lasted=lasted,
        untimed=untimed,
        bar=bar,
        where=_where,
        questions=questions,
        function=_function,
    )


def display(value: object) -> str:
    """Text that can't steer what shows it: control characters, marks of writing direction, lone
    surrogates and unassigned characters as `\\xNN` or `\\uNNNN`.
    """
    return "".join(c if c == "\t" or c.isprintable() else _number(c) for c in str(value))


def _number(c: str) -> str:
    return f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"


def bar(step: StageFacts, whole: int) -> Markup:
    """A stage's place in the whole time, as a picture. The picture holds only numbers of kscaffold's own."""
    length = step.microseconds or 0
    at = min(_UNITS - 6, (step.start or 0) * _UNITS // whole)
    width = max(6, min(_UNITS - at, round(length * _UNITS / whole)))
    label = f"{time(length)}, {time(step.start or 0)} after the start"
    return Markup(
        f'<svg class="bar" viewBox="0 0 {_UNITS} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}"><title>{label}</title><rect class="way" width="{_UNITS}" height="10"/>'
        f'<rect class="time" x="{at}" width="{width}" height="10"/></svg>'
    )


def _where(report: LoadReport) -> str:
    if report.target == "host":
        return "this machine's own"
    return f"in a sandbox ({'KVM' if report.accelerator == 'kvm' else 'emulated, without KVM'})"


def _function(function: Function | None) -> str:
    if function is None:
        return "none"
    name = f"{display(function.symbol)}()"
    return f"{name} in {display(function.section)}" if function.section else name
