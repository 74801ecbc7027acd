"""A Kbuild's text as statements, and small changes to them that keep every other byte. Pure.

Only what stands in plain words is changed, or behind a variable that is set once, in plain words, above.
What a condition, another variable or a function decides is not guessed at: `Clever` says which line that is
and why.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set

from kscaffold.records import dataclass, replace

_WIDTH = 80
_ASSIGN = re.compile(
    r"(?P<lead>\s*(?:(?:export|override)\s+)*)(?P<name>(?:\$\([^()]*\)|[^\s:=+?!#])+)\s*(?P<op>\+=|\?=|!=|:{0,3}=)(?P<value>.*)",
    re.S,
)
_USE = re.compile(r"\$(?:\(([\w.-]+)\)|\{([\w.-]+)\})")
_CONDITION = re.compile(r"\s*(ifeq|ifneq|ifdef|ifndef)\b\s*(.*)", re.S)
_RELEASE = re.compile(
    r"\(\s*\$[({]KERNELRELEASE[)}]\s*,\s*\)|KERNELRELEASE|[\"']\$[({]KERNELRELEASE[)}][\"'] (?:\"\"|'')"
)
_RULE = re.compile(r"[^\s#=:][^=#]*:(?!=)")
# What stands before an operator, whole: a variable's name, or what ends with one.
_SET = re.compile(r"(?<![^\s:=+?!#])([^\s:=+?!#]+)\s*(?::{0,3}|[+?!])=")
_DEFINE = re.compile(r"\s*(?:override\s+|export\s+)*(?:un)?define\s+(\S+)")
_NAME = re.compile(r"[\w.-]")
_LONGEST = 100  # letters of a variable's name whose value is put in


class UneditableError(Exception):
    """A line that can't be edited safely; `line` counts from 1. None: it is a line that is not there."""

    def __init__(self, line: int | None, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


@dataclass(frozen=True, slots=True)
class Statement:
    """An assignment. `first`, `last`: its lines, from 0. `live`: Kbuild reads it; None: it depends.
    `written`, `worth`: name and value as they stand there; `name`, `value`: with plain variables put in."""

    first: int
    last: int
    name: str
    op: str
    value: str
    live: bool | None
    written: str
    worth: str

    @property
    def words(self) -> list[str]:
        """The value's words, without comment and continuations."""
        return _words(self.value)

    @property
    def odd(self) -> str | None:
        """Why the assignment is not one of plain words; None where it is."""
        if "$" in self.value.partition("#")[0] or "$" in self.name:
            return "a variable or function decides it"
        if self.op == "!=":
            return "a program decides it"
        if "\\#" in self.value or re.search(r"^[^#\n]*#.*\\\n", self.value, re.M):
            return "it has a comment among continued lines"
        if re.search(r"\\[ \t]+$", self.value, re.M):
            return "a blank follows the backslash at the end of a line"
        return None


def statements(text: str) -> list[Statement]:
    """The assignments of a Kbuild, those in conditions included; plain variables are put in.

    Raises as `_assignments`.
    """
    found = _assignments(text)
    plain = _plain(text, found)

    def put(at: Statement, text: str) -> str:
        def known(use: re.Match[str]) -> str:
            line, value = plain.get(use[1] or use[2], (at.first, ""))
            return value if line < at.first else use[0]

        return _USE.sub(known, text)

    return [replace(s, name=put(s, s.written), value=put(s, s.worth)) for s in found]


def _plain(text: str, found: Sequence[Statement]) -> dict[str, tuple[int, str]]:
    """The variables that are set once in all of the text, unconditionally, in plain words: line and value."""
    plain = {}
    lines = text.split("\n")
    times = _times_set(text, {at.written for at in found if len(at.written) <= _LONGEST})
    for at in found:
        value = at.worth.partition("#")[0].lstrip()  # make keeps the blanks at its end
        if (
            at.live
            and at.op in ("=", ":=", "::=", "?=")
            and not re.search(r"[$\\]", at.written + value)
            and lines[at.first].lstrip().startswith(at.written)  # neither exported nor an override
            and times[at.written] == 1
        ):
            plain[at.written] = (at.last, value)
    return plain


def _times_set(text: str, names: Set[str]) -> Counter[str]:
    """In how many lines that are no comments each of these variables is set, or might be. One look at the
    text for all of them: a Kbuild of a thousand variables is not read a thousand times.
    """
    times: Counter[str] = Counter()
    for line in text.replace("\\\n", " ").split("\n"):
        if line.lstrip().startswith("#"):
            continue
        ends = {
            run[at:]
            for run in _SET.findall(line)
            for at in range(max(0, len(run) - _LONGEST), len(run))
            if not at or not _NAME.match(run[at - 1])
        }
        defined = _DEFINE.match(line)
        word = defined[1][:_LONGEST] if defined else ""
        begins = {word[:at] for at in range(1, len(word) + 1) if not _NAME.match(word[at : at + 1])}
        times.update(names & (ends | begins))
    return times


def _assignments(text: str) -> list[Statement]:
    """The assignments as they are written.

    Raises Clever for what makes all else unsure: a live include or eval, carriage returns.
    """
    if "\r" in text:
        raise UneditableError(
            1 + text[: text.index("\r")].count("\n"), "lines end with a carriage return, which make keeps"
        )
    found: list[Statement] = []
    conditions: list[bool | None] = []
    in_rule = in_define = False
    for first, last, line in _logical(text):
        if in_define:
            in_define = not re.match(r"\s*endef\b", line)
            continue
        if in_rule and line.startswith("\t"):
            continue
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if re.match(r"(?:override\s+|export\s+)*define\b", bare):
            in_define = True
            continue
        if _take_condition(conditions, bare, first):
            continue
        live = False if False in conditions else None if None in conditions else True
        assigned = _ASSIGN.fullmatch(line)
        in_rule = not assigned and bool(_RULE.match(line))
        if assigned:
            _, name, op, value = assigned.groups()
            found.append(Statement(first, last, name, op, value, live, name, value))
        elif live is not False and re.match(r"-?include\b|sinclude\b", bare):
            raise UneditableError(first + 1, "it includes another file, which may change what is built")
        elif live is not False and not in_rule and re.match(r"\$[({]", bare) and "info" not in bare[:8]:
            raise UneditableError(first + 1, "a function makes lines that are not in the text")
    return found


def _logical(text: str) -> Iterable[tuple[int, int, str]]:
    """First and last line, and text, of each line of make's: those that end with a backslash go on."""
    lines = text.split("\n")
    first = 0
    for number, line in enumerate(lines):
        if line.endswith("\\") and number + 1 < len(lines):
            continue
        yield first, number, "\n".join(lines[first : number + 1])
        first = number + 1


def _take_condition(conditions: list[bool | None], bare: str, line: int) -> bool:
    """Keep count of conditions. Only of KERNELRELEASE it is known what Kbuild makes of it: it is set."""
    if re.match(r"endif\b", bare):
        if not conditions:
            raise UneditableError(line + 1, "an endif without its condition")
        conditions.pop()
        return True
    if re.match(r"else\b", bare):
        if not conditions:
            raise UneditableError(line + 1, "an else without its condition")
        known = conditions[-1]
        conditions[-1] = not known if known is not None and bare == "else" else None
        return True
    match = _CONDITION.fullmatch(bare)
    if match is None:
        return False
    of_release = _RELEASE.fullmatch(match[2].partition("#")[0].strip())
    conditions.append(match[1] in ("ifneq", "ifdef") if of_release else None)
    return True


def append(text: str, names: Set[str], what: str, word: str) -> str:
    """The text with a word more in the last list of these `names`; `what` names it in a reason."""
    live = [s for s in statements(text) if s.live is not False]
    meant = [s for s in live if s.name in names]
    if not meant:
        computed = next((s.first + 1 for s in live if _could_be(s.name, names)), None)
        raise UneditableError(computed, f"no line sets {what} in plain words")
    place = _place(meant, what)
    lines = text.split("\n")
    line, comment = _split(lines[place.last])
    longer = f"{line} {word}"
    if len(longer) <= _WIDTH or not place.words:
        lines[place.last] = longer + comment
    elif comment:
        lines.insert(place.last + 1, f"{place.written} += {word}")
    else:
        indent = re.match(r"\s*", line)
        lead = indent[0] if indent and place.last > place.first else "\t"
        lines[place.last : place.last + 1] = [f"{line} \\", f"{lead}{word}"]
    return "\n".join(lines)


def _could_be(name: str, names: Set[str]) -> bool:
    """Whether a name as it is written, $(TARGET)-objs, can be one of these."""
    written = re.split(r"\$(?:\([^()]*\)|\{[^{}]*\}|\w)", name)
    return any(re.fullmatch(".*".join(map(re.escape, written)), each) for each in names)


def _place(meant: Sequence[Statement], what: str) -> Statement:
    """The last of some statements that a word can be added to for certain. Raises Clever."""
    for at in reversed(meant):
        why = at.odd
        if at.live is None:
            if at.op != "+=":
                raise UneditableError(at.first + 1, f"{what}: set under a condition")
        elif why is None and at.op in ("=", ":=", "::=", "+="):
            return at
        elif at.op != "+=" or at is meant[0]:
            raise UneditableError(at.first + 1, f"{what}: {why or 'it is set only where nothing else did'}")
    raise UneditableError(meant[0].first + 1, f"{what}: set under a condition, or not in plain words")


def _words(value: str) -> list[str]:
    return value.partition("#")[0].replace("\\\n", " ").split()


def _split(line: str) -> tuple[str, str]:
    """A line without the blanks and the comment at its end, and those."""
    code = line.partition("#")[0].rstrip()
    return code, line[len(code) :]


def replace_word(text: str, names: Set[str], what: str, old: str, new: str) -> str:
    """The text with a word of the lists of these `names` replaced. Raises Clever unless it is there once."""
    found = statements(text)
    meant = [s for s in found if s.name in names and old in s.words]
    if len(meant) != 1 or meant[0].words.count(old) != 1:
        computed = next(
            (
                s
                for s in found
                if s.live is not False and "$" in s.name + s.value and _could_be(s.name, names)
            ),
            None,
        )
        at_fault = meant[-1] if meant else computed
        raise UneditableError(
            at_fault.first + 1 if at_fault else None,
            f"{old} is named {'more than once' if meant else 'in no plain list'} in {what}",
        )
    at = meant[0]
    if at.live is None:
        raise UneditableError(at.first + 1, f"{old} is listed under a condition")
    if at.odd or old not in _words(at.worth):
        raise UneditableError(at.first + 1, at.odd or f"{old} is in a variable there")
    lines = text.split("\n")
    word = re.compile(rf"(?<![^\s=]){re.escape(old)}(?=[\s#]|\\?$)")
    for number in range(at.first, at.last + 1):
        code, comment = _split(lines[number])
        lines[number] = word.sub(lambda _: new, code) + comment
    return "\n".join(lines)


def rename_behind(text: str, old: str, new: str) -> str:
    """The text with new values of the plain variables that give the module `old` its name in obj-m or its
    lists.

    Raises UneditableError where one is used for anything else."""
    found = statements(text)
    lines = text.split("\n")
    used = {one or other for one, other in _USE.findall(text)}
    for name, (last, value) in _plain(text, found).items():
        if value.strip() != old or name not in used:
            continue
        use = rf"\$(?:\({re.escape(name)}\)|\{{{re.escape(name)}\}})"
        as_list, as_module = re.compile(rf"\s*{use}-"), re.compile(rf"(?<![^\s=]){use}\.o(?=[\s#]|\\?$)")
        lists = {s.first for s in found if s.live is not False and as_list.match(s.written)}
        modules = {n for s in found if s.live and s.name == "obj-m" for n in range(s.first, s.last + 1)}
        if not (lists or any(as_module.search(_split(lines[n])[0]) for n in modules)):
            continue
        for number, line in enumerate(lines):
            # $(NAME).ko is the module in commands, too
            left = re.sub(rf"{use}\.ko\b", "", _split(line)[0])
            left = as_list.sub("", left) if number in lists else left
            left = as_module.sub("", left) if number in modules else left
            if number != last and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", left):
                raise UneditableError(
                    number + 1, f"{name}, which has the name {old}, is used for something else"
                )
        head, equals, tail = lines[last].partition("=")
        lines[last] = f"{head}{equals}{tail.replace(old, new, 1)}"
    return "\n".join(lines)


def rename_variables(text: str, pairs: dict[str, str]) -> str:
    """The text with variables renamed where set. Raises UneditableError where one is used by name."""
    for old in pairs:
        used = re.search(rf"\$[({{]{re.escape(old)}[)}}:]", text)
        if used:
            raise UneditableError(1 + text[: used.start()].count("\n"), f"$({old}) is used there")
    lines = text.split("\n")
    for at in statements(text):
        if at.written in pairs:
            lines[at.first] = lines[at.first].replace(at.written, pairs[at.written], 1)
    return "\n".join(lines)


def insert_after(text: str, names: Set[str], word: str, line: str) -> str:
    """The text with a line more, after the statement that lists `word`."""
    at = next(s for s in statements(text) if s.name in names and word in s.words)
    lines = text.split("\n")
    lines.insert(at.last + 1, line)
    return "\n".join(lines)
