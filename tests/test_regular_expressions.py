"""Every regular expression reads what others wrote: its time grows with the text, not with its square."""

import ast
import importlib
import re
import signal
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "kscaffold"
SIZES = (1_000, 12_000)
SECONDS = 0.3  # of processor time: a square takes a second at the last size, a cube at the first
# Texts that make an expression try again and again: a character, a word, or a beginning without its end.
# fmt: off
PUMPS = (
    " ", "\n", "\t", "a", "a ", "a\n", "(", "[", "{", '"', "'", "/*", "\\", "\\\n", "*", "0", "a[", "a(",
    ">", "a b[", "$(", "#", ": ", "_driver", "a_a", ".", "../", "+0x1/0x1", "obj-m ",
)
# fmt: on
PUMPS_OF_NAMES = ("name\n", "name ", "name\t#")  # for those that a name is put into

# These see one word or line that is bounded before: an argument, a log's line, an entry of modules.builtin.
BOUNDED = ("explain/unwrap.py", "files/git.py", "kernel/builtin.py", "scaffold/external/inspect.py")


def expressions() -> Iterator[tuple[str, str, int, str]]:
    """Place, text, flags and use (match, search) of every constant expression of the package."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            called = ast.unparse(node.func)
            if not re.fullmatch(r"re\.\w+|lazy\.pattern", called) or not node.args:
                continue
            pattern = _pattern(node.args[0], file)
            if pattern is None:
                continue
            flags = 0
            for word in ("re.M", "re.S", "re.X", "re.I"):
                if any(re.search(rf"{word}\b|{word}[A-Z]+\b", ast.unparse(a)) for a in _flags(node)):
                    flags |= int(getattr(re, word[3:]))
            yield f"{file.relative_to(PACKAGE)}:{node.lineno}", pattern, flags, _use(called, node, file)


def _pattern(written: ast.expr, file: Path) -> str | None:
    """An expression as it is written; what is put into one is a constant of its file, or `name`, as of a
    module, a variable or a function.
    """
    parts = written.values if isinstance(written, ast.JoinedStr) else [written]
    found = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found += part.value
        elif isinstance(part, ast.FormattedValue) and len(parts) > 1:
            name = ast.unparse(part.value)
            found += _constant(file, name) if name.isupper() else "name"
        else:
            return None
    return found


def _constant(file: Path, name: str) -> str:
    place = ".".join(("kscaffold", *file.relative_to(PACKAGE).with_suffix("").parts))
    return getattr(importlib.import_module(place), name, "name")


def _use(called: str, node: ast.Call, file: Path) -> str:
    """How an expression is tried: at a text's beginning only, or at each of its places."""
    if called not in ("re.compile", "lazy.pattern"):
        return "match" if called in ("re.match", "re.fullmatch") else "search"
    text = file.read_text()
    line = text.split("\n")[node.lineno - 1]
    name = line.partition("=")[0].partition(":")[0].strip()
    named = rf"\b{re.escape(name)}\.(\w+)"
    ways = set(re.findall(named, text)) if name.isidentifier() else set()
    return "search" if ways & {"search", "findall", "finditer", "sub", "subn", "split"} else "match"


def _flags(node: ast.Call) -> list[ast.expr]:
    return [*node.args[1:], *(k.value for k in node.keywords if k.arg == "flags")]


def literal(pattern: str) -> str:
    """The plain words at an expression's beginning: a text has to begin so to be tried at all."""
    found = re.match(r"(?:\^|\\b|\[[^\]]*\][*+]*|\\s[*+]*)*((?:[\w:. -]|\\[.()\[\]])*)", pattern)
    return found[1].replace("\\", "") if found else ""


@pytest.mark.parametrize(
    ("place", "pattern", "flags", "use"), [pytest.param(*e, id=e[0]) for e in expressions()]
)
def test_an_expression_takes_time_in_proportion(place: str, pattern: str, flags: int, use: str):
    compiled = re.compile(pattern, flags)
    way = getattr(compiled, use)
    begins = sorted({"", literal(pattern)})
    sizes = SIZES[:1] if place.startswith(BOUNDED) else SIZES
    tried = ""

    def late(*_: object) -> None:
        raise AssertionError(f"{place}: more than {SECONDS} s for {tried}")

    # A search looks for signals: one that would take minutes is ended.
    before = signal.signal(signal.SIGVTALRM, late)
    try:
        pumps = (*PUMPS, *PUMPS_OF_NAMES) if "name" in pattern else PUMPS
        for size, pump, begin in product(sizes, pumps, begins):
            for text in (begin + pump * (size // len(pump)), (begin + pump) * (size // len(begin + pump))):
                tried = f"{size} bytes, {begin!r} and {pump!r}"
                signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
                way(text + "!")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
