"""The subjects of a first course on modules: what its words and lines mean, not what can go wrong."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject. `words`: its names, in lower case. `line`: finds it in a line. `more`: further topics."""

    title: str
    text: str
    words: tuple[str, ...]
    line: re.Pattern[str]
    more: tuple[str, ...]


@cache
def subjects() -> tuple[Subject, ...]:
    """All of them (`subjects.toml`, `course_words.toml`)."""
    table: dict[str, Any] = {}
    for name in ("subjects.toml", "course_words.toml"):
        table |= tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return tuple(
        Subject(s["title"], s["text"], tuple(s["words"]), re.compile(s["line"]), tuple(s.get("more", ())))
        for s in table.values()
    )


def find_subject(word: str) -> Subject | None:
    """The subject of this name, in any case."""
    low = word.lower()
    return next((s for s in subjects() if low in s.words), None)


def find_subject_of_line(text: str) -> Subject | None:
    """The subject that a line of source, of a Makefile or of a terminal shows; None for a longer text."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= 3:
        return None
    found = next((s for s in subjects() for line in lines if s.line.search(line[:400])), None)
    return found or (find_subject(lines[0].strip()) if len(lines) == 1 else None)
