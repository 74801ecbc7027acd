"""A log as it was pasted: what a terminal, a mail or a page put around its lines is taken off."""

import re
from itertools import pairwise

# What a terminal acts on and does not show: colours, titles, links.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,40}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[()][0-9A-B])")
# A quoted line of a mail, a cell of a table.
_QUOTE = re.compile(r"\s{0,8}(?:[>|] ?)+")
# Marks of a page around a line. A single * or _ is none: names begin with that, and make's *** is its own.
_OPENED = re.compile(r"\s*(?:`{1,3}|\*\*_?)(?=[^\s`*])")
_CLOSED = re.compile(r"(?<=[^\s`*])(?:`{1,3}|_{0,2}\*\*)\s*$")
_STAMPED = re.compile(r"\s+(?=\[\s{0,12}\d{1,10}\.\d{1,9}\])")
_INDENT = re.compile(r"[ \t\xa0]*")
# Only so much is looked at for lines that were wrapped: nobody wraps a whole boot's log.
MAX_WRAPPED = 400
# What begins a line of its own: a stamp, a prompt, a name with a colon.
_FRESH = re.compile(r"\s*\S{0,40}[:$#\[\]]")
_WIDTH = 60  # what wraps text does so beyond this


def unwrap_log(text: str) -> list[str]:
    """The lines of a pasted log, as the program wrote them, where the wrapping can be undone."""
    found: list[str] = []
    block: list[str] = []
    for line in [*_ESCAPE.sub("", text).split("\n"), ""]:
        line = _bare(line[:8192].rstrip("\r"))
        if line.strip(" \t\xa0"):
            block.append(line)
            continue
        found += _dedented(block)
        block = []
        found.append("")
    return found


def _bare(line: str) -> str:
    # A compiler's own line of source (`  393 | …`) begins with a number, not with the bar.
    if quoted := _QUOTE.match(line):
        line = line[quoted.end() :].removesuffix(" | ")
    if stamped := _STAMPED.match(line):
        line = line[stamped.end() :]
    if opened := _OPENED.match(line):
        line = line[opened.end() :]
    closed = _CLOSED.search(line)
    # One that the line itself opened further in is its own: `core`.
    return line[: closed.start()] if closed and line.count(closed[0].strip()) % 2 else line


def _dedented(block: list[str]) -> list[str]:
    """Lines that stand together, without the blanks that all of them begin with."""
    depth = min((_INDENT.match(line).end() for line in block), default=0)  # type: ignore[union-attr]
    return [line[depth:] for line in block]


def rejoin_wrapped(lines: list[str]) -> list[int]:
    """Where a line stands that may go on in the next one, as a mail or a page wraps them."""
    if len(lines) > MAX_WRAPPED:
        return []
    pairs = enumerate(pairwise(lines))
    return [i for i, (a, b) in pairs if len(a) >= _WIDTH and not _FRESH.match(b)]
