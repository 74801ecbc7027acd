"""A compiler's lines in gcc's own colours. gcc gives none to a program that reads it, and a flag that asks
for them would be another command line: all would be built again.
"""

import re
from collections.abc import Callable

Style = Callable[[str, str], str]
"""A text in a style, by the style's name."""

_MESSAGE = re.compile(
    r"(?P<place>[^\s:][^:]*:(?:\d+:){0,2}) (?P<level>fatal error|error|warning|note): (?P<text>.*)"
)
_CARETS = re.compile(r"(?P<margin>\s*\|\s*)(?P<marks>[~^][~^ |]*)")
_QUOTED = re.compile(r"'[^']*'|‘[^’]*’")
_LEVELS = {"fatal error": "red", "error": "red", "warning": "magenta", "note": "cyan"}


def coloured(line: str, style: Style) -> str:
    """A line that a compiler printed: place and quotes bold, its level and the carets below it in colour. Any
    other line as it is.
    """
    if found := _MESSAGE.fullmatch(line):
        level = style(style(f"{found['level']}:", "bold"), _LEVELS[found["level"]])
        text = _QUOTED.sub(lambda quoted: style(quoted[0], "bold"), found["text"])
        return f"{style(found['place'], 'bold')} {level} {text}"
    if found := _CARETS.fullmatch(line):
        return f"{found['margin']}{style(style(found['marks'], 'bold'), 'green')}"
    return line
