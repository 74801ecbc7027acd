"""docs/bugs.md: one planted bug of each kind from tests/instrument/zoo, and how its report begins.

`python -m tests.instrument.bugs_page` writes the page. test_zoo.py finds each of these bugs in a run, and
holds that a report of it begins so.
"""

import re
import textwrap

from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.reports.kinds import KINDS
from tests.conftest import ROOT

PAGE = ROOT / "docs/bugs.md"
ZOO = ROOT / "tests/instrument/zoo"
_MARK = re.compile(r"/\* BUG ([a-z ,-]+) \*/")
_FUNCTION = re.compile(r"(?:static )?\w[\w *]*?\b(\w+)\([^;]*\)$")
_HEAD = """\
<!-- written by python -m tests.instrument.bugs_page -->

# Bugs that a load does not show

One bug of each kind that `kscaffold run --sanitize` finds, and how the report of it begins. A load alone says
"loaded and unloaded" of most of these modules. The sources are whole in `tests/instrument/zoo/`, with more of
each kind; a test finds each of them in a run, at its line. [The sanitizer](sanitizer.md) is how to use it.
"""
_USUAL = ("kmalloc_right", "freed_read", "free_twice", "leak_object", "lock_sleep")  # most are like these
_LEAKS = {"leak_object": 40}  # bytes that are never freed
_AROUND = 6  # lines of source before the bug


def chosen() -> dict[str, str]:
    """A module of the zoo for each kind: one that has no other kind, the usual one or the first by name."""
    marks = {f.stem: [m.split() for m in _MARK.findall(f.read_text())] for f in sorted(ZOO.glob("*.c"))}
    found: dict[str, str] = {}
    for kind in KINDS:
        having = [name for name, marked in marks.items() if marked == [[kind]]]
        if having:
            found[kind] = next((name for name in _USUAL if name in having), having[0])
    return found


def _lines(name: str) -> list[str]:
    return (ZOO / f"{name}.c").read_text().splitlines()


def _marked(name: str) -> tuple[int, str, int]:
    """The line of a module's bug, from 1, the function that it is in, and where that begins."""
    lines = _lines(name)
    line = next(i for i, text in enumerate(lines, 1) if _MARK.search(text))
    functions = [(m[1], i) for i, text in enumerate(lines[:line], 1) if (m := _FUNCTION.match(text))]
    return line, *functions[-1]


def head(kind: str, name: str) -> str:
    """How the report of a module's bug begins, without offsets."""
    line, function, _ = _marked(name)
    where, source = f"{function} [{name}]", f"{name}.c:{line}"
    return KINDS[kind].head.format(where=where, source=source, count="an object", size=_LEAKS.get(name, 0))


def plain(text: str) -> str:
    """The beginning of a report without the offsets that each compiler makes."""
    return re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+", "", text)


def page() -> str:
    """The text of the page."""
    return "\n".join((_HEAD, *(_section(kind, name) for kind, name in chosen().items())))


def _section(kind: str, name: str) -> str:
    entry = catalogue.entry(KINDS[kind].code)
    assert entry is not None
    lines, (line, _, begins) = _lines(name), _marked(name)
    shown = range(max(begins, line - _AROUND), line + 1)
    source = "\n".join(
        f"{'>' if n == line else ' '} {n:>4} | {_MARK.sub('', lines[n - 1]).rstrip().expandtabs(4)}"
        for n in shown
    )
    words = f"Cause: {entry.cause}. Fix: {entry.fix}. More: `kscaffold explain {entry.code}`."
    text = "\n".join(textwrap.wrap(words, 110, break_long_words=False, break_on_hyphens=False))
    return f"## {kind}\n\n```console\n{head(kind, name)}\n{source}\n```\n\n{text}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
