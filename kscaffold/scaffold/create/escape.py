"""A user's free text, made safe for the place it goes to. Pure."""

from jinja2 import Environment
from jinja2.ext import Extension

_C_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

# Any ASCII punctuation may follow a backslash in CommonMark; these begin something.
_MARKDOWN = frozenset("\\`*_[]<>&#|~$!")


def c_string(text: str) -> str:
    """The text as it stands between the quotes of a C string literal, in UTF-8.

    Raises UnicodeEncodeError for what UTF-8 can't encode (lone surrogates).
    """
    return "".join(_c_character(c, before) for before, c in zip(" " + text, text, strict=False))


def _c_character(c: str, before: str) -> str:
    if c in _C_ESCAPES:
        return _C_ESCAPES[c]
    if c == "?" and before == "?":
        return "\\?"  # no trigraph, whatever -std says
    if c.isprintable():
        return c
    # Three octal digits each: a digit that follows can't join them, as it would a \x escape. This also
    # takes the invisible characters that turn the direction of text (gcc: -Wbidi-chars).
    return "".join(f"\\{byte:03o}" for byte in c.encode())


def markdown(text: str) -> str:
    """The text as one paragraph of Markdown that shows it, on one line; control characters as U+FFFD."""
    flat = " ".join(text.split())
    flat = "".join(c if c.isprintable() else "\ufffd" for c in flat)
    escaped = "".join(f"\\{c}" if c in _MARKDOWN else c for c in flat)
    # A line's beginning has meanings of its own: a list, a heading's underline, a numbered list.
    head = escaped.lstrip("0123456789")
    digits = len(escaped) - len(head)
    if (not digits and escaped[:1] in ("-", "+", "=", ":")) or (digits and head[:1] in (".", ")")):
        escaped = f"{escaped[:digits]}\\{head}"
    return escaped


def plain(text: str) -> str:
    """The text on one line of a plain text file; control characters as U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def python(text: str) -> str:
    """The text as a literal of Python, in double quotes where that takes no escape more."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal


class Escapes(Extension):
    """The filters `c_string`, `markdown` and `python` of templates (`_extensions` of cookiecutter.json)."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(c_string=c_string, markdown=markdown, python=python)
