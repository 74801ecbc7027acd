"""The catalogue: what each code means, and which lines of a log mean which code.

The entries are data, `catalogue/N-*.toml`, one file for each hundred of codes. A file is read when one of
its codes or a match is asked for, not before.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from kscaffold import lazy
from kscaffold.diagnosis.klog import Record
from kscaffold.records import dataclass

# Lines are matched on this much of them: enough for any line a kernel, make or a compiler writes.
MAX_LINE = 2048
# A log is matched on this many different lines; a flood repeats itself.
MAX_LINES = 100_000
# An escape, a class of characters, a number of times, or a character of a regular expression.
_TOKEN = lazy.pattern(r"\\(?:x..|u.{4}|\d{1,3}|.)|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    `code`: `KS###`. `stage`: a stage id, `build`, or None. `errno`: the errors it is a cause of, empty for
    any. `patterns`: a line that one of them is found in means this entry; their named groups fill the
    `{name}` of `cause` and `fix`. `complaints`: kinds of crash.Complaint that mean it. `noise`: harmless,
    known, folded away when a log is explained. `vague`: another program's words for the failure, left out
    when the log has the kernel's own.

    The lines beside the hit decide: each of `needs` must be found in some line of the log, each of `after`
    in one below the hit, none of `unless` may be. `{name}` in them is what the group of that name held.
    `rules_out`: codes that are no answer where this one is. `more`: what else to paste where this is all
    that a log says.
    """

    code: str
    title: str
    what: str
    proof: str
    cause: str
    fix: str
    stage: str | None = None
    errno: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    noise: bool = False
    vague: bool = False
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    rules_out: tuple[str, ...] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueMatch:
    """An entry that a log's lines mean. `lines`: those lines, oldest first. `first`: the first one's index.

    `groups`: what the patterns' named groups held, several values joined by `, `.
    """

    entry: Entry
    lines: tuple[str, ...]
    first: int
    groups: Mapping[str, str]

    @property
    def cause(self) -> str:
        """The entry's cause with the names of this log."""
        return filled(self.entry.cause, self.groups)

    @property
    def fix(self) -> str:
        """The entry's fix with the names of this log."""
        return filled(self.entry.fix, self.groups)


_FIELD = lazy.pattern(r"\{([a-z][a-z_]{0,20})\}")


# What a log may leave open.
_WORDS = {
    "built": "a file of another name",
    "count": "at least one",
    "function": "the function",
    "module": "the module",
    "place": "the place of the report",
}


def filled(text: str, groups: Mapping[str, str]) -> str:
    """The text with `{name}` replaced where the name is known. Else by NAME, as in a manual page, or, in
    the answer to a log that names other things, by words.
    """
    words = _WORDS if groups else {}
    return _FIELD.sub(lambda m: groups.get(m[1]) or words.get(m[1]) or m[1].upper(), text)


def is_filled(text: str, groups: Mapping[str, str]) -> bool:
    """Whether every `{name}` of the text is known."""
    return all(m[1] in groups for m in _FIELD.finditer(text))


def entry(code: str) -> Entry | None:
    """The entry of a code (`KS204`, in any case), or None where there is none."""
    code = code.upper()
    if not re.fullmatch(r"KS\d{3}", code):
        return None
    return _of_hundred(code[2]).get(code)


def entries(hundreds: str = "0123456789") -> dict[str, Entry]:
    """All entries of these hundreds by code, in order."""
    return {code: e for digit in hundreds for code, e in sorted(_of_hundred(digit).items())}


@cache
def _of_hundred(digit: str) -> dict[str, Entry]:
    import tomllib  # start-up time: most commands never need an entry

    found: dict[str, Entry] = {}
    # Not importlib.resources: 15 ms, and the package is always a directory.
    for file in Path(__file__).with_name("catalogue").glob(f"{digit}-*.toml"):
        for code, fields in tomllib.loads(file.read_text(encoding="utf-8")).items():
            found[code] = _entry(code, fields)
    return found


def _entry(code: str, fields: Mapping[str, object]) -> Entry:
    def text(key: str) -> str:
        return " ".join(str(fields.get(key, "")).split())

    def many(key: str) -> tuple[str, ...]:
        value = fields.get(key, ())
        return tuple(str(v) for v in value) if isinstance(value, list) else ()

    stage = fields.get("stage")
    return Entry(
        code,
        text("title"),
        text("what"),
        text("proof"),
        text("cause"),
        text("fix"),
        str(stage) if stage else None,
        many("errno"),
        many("patterns"),
        many("complaints"),
        many("see"),
        bool(fields.get("noise", False)),
        bool(fields.get("vague", False)),
        many("needs"),
        many("after"),
        many("unless"),
        many("rules_out"),
        text("more"),
    )


@cache
def _compiled(hundreds: str) -> list[tuple[Entry, str, re.Pattern[str]]]:
    """The patterns, each with words that a line has where it matches: to look for these first halves the time
    that a long log takes.
    """
    return [(e, words_of(p), re.compile(p)) for e in entries(hundreds).values() for p in e.patterns]


def words_of(pattern: str) -> str:
    """The longest text outside of groups that each match of a regular expression has; "" where none is."""
    if "(?i" in pattern or "(?x" in pattern:
        return ""
    runs, depth = [""], 0
    for token in _TOKEN.findall(pattern):
        depth += (token == "(") - (token == ")")
        if token == "|" and not depth:
            return ""
        if token[0] in "?*{" and token != "{":
            runs[-1:] = [runs[-1][:-1], ""]  # what it stands behind may be missing
        elif depth or token[0] in "()[.^$+" or (token[0] == "\\" and token[1].isalnum()):
            runs.append("")
        else:
            runs[-1] += token[-1]
    return max(runs, key=len)


def match(lines: Iterable[Record | str], hundreds: str = "0123456789") -> list[CatalogueMatch]:
    """The entries that these lines mean, the oldest line first.

    `hundreds`: which files to look in (`"23"`: loading and unloading). Every entry is found once, with
    all its lines; one that the lines beside it speak against, or that another rules out, is not. Complaints
    (oops, WARN …) are not found here but by crash.complaints, by their shape; `of_complaint` gives their
    entry.
    """
    hits: dict[str, list[tuple[int, str, Mapping[str, str]]]] = {}
    texts: dict[str, int] = {}  # each line, with the last place it stands at
    seen: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
    for index, line in enumerate(lines):
        text = (line if isinstance(line, str) else line.text)[:MAX_LINE]
        known = seen.get(text)
        if known is None:
            if len(seen) >= MAX_LINES:
                break
            known = seen[text] = _match_line(text, hundreds)
        texts[text] = index
        for code, groups in known:
            hits.setdefault(code, []).append((index, text, groups))
    if not hits:
        return []  # start-up time: without reading a catalogue
    found = entries(hundreds)
    findings = [_finding(found[code], where) for code, where in hits.items()]
    findings = [f for f in findings if _beside(f, texts)]
    return sorted(without_ruled_out(findings), key=lambda f: f.first)


def without_ruled_out(findings: Iterable[CatalogueMatch]) -> list[CatalogueMatch]:
    """The findings that no other of them rules out. Harmless lines rule nothing out here."""
    found = list(findings)
    out = {code for f in found if not f.entry.noise for code in f.entry.rules_out}
    return [f for f in found if f.entry.code not in out]


def _beside(finding: CatalogueMatch, lines: Mapping[str, int]) -> bool:
    """Whether the other lines of the log, each with its last place, agree with the finding."""
    entry = finding.entry
    below = [text for text, index in lines.items() if index > finding.first] if entry.after else []

    def found(pattern: str, texts: Iterable[str]) -> bool:
        compiled = _with_groups(pattern, finding.groups)
        return any(compiled.search(text) for text in texts)

    return (
        all(found(pattern, lines) for pattern in entry.needs)
        and all(found(pattern, below) for pattern in entry.after)
        and not any(found(pattern, lines) for pattern in entry.unless)
    )


def _with_groups(pattern: str, groups: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern with `{name}` replaced by what that group held, word for word, in any of its lines."""

    def values(field: re.Match[str]) -> str:
        held = groups.get(field[1], field[1].upper()).split(", ")
        return f"(?:{'|'.join(map(re.escape, held))})"

    return re.compile(_FIELD.sub(values, pattern))


def _match_line(text: str, hundreds: str) -> list[tuple[str, Mapping[str, str]]]:
    found: dict[str, Mapping[str, str]] = {}
    for known, words, pattern in _compiled(hundreds):
        if words in text and known.code not in found and (hit := pattern.search(text)):
            found[known.code] = {k: v for k, v in hit.groupdict().items() if v is not None}
    return list(found.items())


def _finding(known: Entry, where: Sequence[tuple[int, str, Mapping[str, str]]]) -> CatalogueMatch:
    groups: dict[str, dict[str, None]] = {}  # an ordered set: a log may have thousands of symbols
    for _, _, named in where:
        for name, value in named.items():
            groups.setdefault(name, {})[value] = None
    lines = tuple(dict.fromkeys(text for _, text, _ in where))
    return CatalogueMatch(known, lines, where[0][0], {k: ", ".join(islice(v, 20)) for k, v in groups.items()})


def entry_of_complaint(kind: str) -> Entry | None:
    """The entry of a kind of complaint (crash.Complaint.meaning)."""
    return next((e for e in entries("23").values() if kind in e.complaints), None)
