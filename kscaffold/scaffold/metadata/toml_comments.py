"""A TOML file rewritten with the comments that somebody put into the old one."""

import re
import tomllib
from collections import Counter

_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"\\]*\")\s*=")


def carried(old: str, new: str) -> str:
    """`new` with the comments of `old`: each stands before the line it stood before, or behind it.

    Just `new` where that is not simple: texts of several lines, or a result that says anything else.
    """
    if "#" not in old or '"""' in old or "'''" in old:
        return new
    before, behind = _comments(old)
    lines = new.splitlines()
    there = {line for line in lines if line.startswith("#")}
    out: list[str] = []
    left = [c for c in before.pop(None, []) if c not in there]
    for place, line in _places(lines):
        out += [c for c in before.pop(place, []) if c not in there] if place else []
        out.append(f"{line}  {behind[place]}" if place in behind else line)
    # The comments before a line that is gone.
    left = [c for each in before.values() for c in each if c not in there] + left
    text = "\n".join(out + left) + "\n"
    try:
        same = tomllib.loads(text) == tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        return new
    return text if same else new


def _comments(text: str) -> tuple[dict[str | None, list[str]], dict[str | None, str]]:
    """The lines that are comments, by the place of the line they stand before; those that end a line."""
    before: dict[str | None, list[str]] = {}
    behind: dict[str | None, str] = {}
    waiting: list[str] = []
    for place, line in _places(text.splitlines()):
        if line.lstrip().startswith("#"):
            waiting.append(line.strip())
        elif place:
            if waiting:
                before[place], waiting = waiting, []
            if comment := _ending(line):
                behind[place] = comment
    if waiting:
        before[None] = waiting
    return before, behind


def _places(lines: list[str]) -> list[tuple[str | None, str]]:
    """Each line with the name of its place: its key, in the table it is in, or the head of a table."""
    table = ""
    seen: Counter[str] = Counter()
    found: list[tuple[str | None, str]] = []
    for line in lines:
        place = None
        if line.lstrip().startswith("["):
            head = line.partition("#")[0].strip()
            seen[head] += 1
            place = table = f"{head}{seen[head]}"
        elif match := _KEY.match(line):
            place = f"{table} {match[1]}"
        found.append((place, line))
    return found


def _ending(line: str) -> str | None:
    """The comment behind a value."""
    for match in re.finditer("#", line):
        if line[: match.start()].rstrip().startswith("["):
            return line[match.start() :].rstrip()
        try:
            tomllib.loads(line[: match.start()])
        except tomllib.TOMLDecodeError:
            continue
        return line[match.start() :].rstrip()
    return None
