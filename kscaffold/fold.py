"""Lines of a terminal folded at words, what follows hanging below what was begun."""

import re

_STYLE = re.compile(r"\033\[[0-9;]*m")
# How the lines begin that are prose behind a label: everything else (a table, source, a diff) stays as it is.
_LABELS = re.compile(
    r"\s*(?:error\[KS\d{3}\]|warning|note|cause|fix|proof|source|more|see|complaint|faults): "
    r"| {2}(?:allocated|freed|called by|with|in): "
    r"|  \| "
    r"|(?=.{12} ) *[A-Z][a-z]+ "  # a step: its verb ends in the twelfth column
    r"| {0,8}(?:ok|missing|note)  "
    r"| {8}  cache: "
    r"|[> ] \[ *\d+\.\d+\] "
    r"|\S+ +(?:failed|error) {2,}"  # a project of many
    r"| *\d+(?:-\d+)? {2}\S+\(\) +(?:\(the last call\)|\S+) {2,}"  # a call that was made to fail
    r"|(?=\S+\.ko\b)"
)
_WORD = re.compile(r"\s*(?:\(?\d[\d.]* (?:m?s|[kMG]B)\b\S*|\S+)")  # a number and its unit are one
_SMALLEST = 20  # columns for text: with less, the label's width is not kept free


def folded(line: str, columns: int) -> str:
    """The line in as many as it needs; styles stay. `columns`: of the terminal."""
    plain = _STYLE.sub("", line)
    label = _LABELS.match(plain)
    if len(plain) <= columns or label is None:
        return line
    hang = label.end() or 4
    if columns - hang < _SMALLEST:
        hang = 2
    lines, room = [""], columns
    used = 0
    for word in _WORD.findall(line):
        wide = len(_STYLE.sub("", word))
        if used + wide > room and used > hang:
            word = word.lstrip()
            lines.append(" " * hang)
            used = hang
            wide = len(_STYLE.sub("", word))
        lines[-1] += word
        used += wide
    return "\n".join(lines)
