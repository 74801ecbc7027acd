"""Old habits of Makefiles and Kbuilds, found in their text and mended there. Pure.

What they do is in the kernel's Documentation/kbuild/modules.rst and its history: SUBDIRS= is ignored since
5.4, EXTRA_CFLAGS since 6.15, and $(PWD) is empty or wrong under sudo and `make -C`.
"""

import re
from collections.abc import Sequence
from typing import Literal

from kscaffold.records import dataclass

Kind = Literal["subdirs", "extra-flags", "pwd", "spaces", "circle"]

_PWD = re.compile(r"(?<!\$)\$(?:\(PWD\)|\{PWD\})")
_EXTRA = re.compile(r"\bEXTRA_(C|A|LD)FLAGS\b")
_SUBDIRS = re.compile(r"(?<![\w$({])SUBDIRS\s?=\s?(?=\S)")
_ASSIGN = re.compile(r"\s*(?:export\s+|override\s+)*([\w.-]+)\s*(?:[:?+]|::)?=")
_FLAGS = re.compile(
    r"(?:EXTRA_(?:C|A|LD)FLAGS|(?:subdir-)?(?:cc|as|ld)flags-y|CFLAGS_\S+|KBUILD_EXTRA_SYMBOLS)"
)


_RULE = re.compile(r"[^\s#=:][^=#]*:(?![=:]*=)")
_PASSING = re.compile(r"\s*(?:#|ifn?eq\b|ifn?def\b|else\b|endif\b)")


@dataclass(frozen=True, slots=True)
class DeprecatedLine:
    """One old habit. `line` from 1. `mended`: the line as --fix would write it, with the mends of the habits
    before it; None: it is left to the user."""

    kind: Kind
    line: int
    text: str
    message: str
    fix: str
    mended: str | None


def find_deprecated(text: str, untabbed: Sequence[int] = ()) -> tuple[DeprecatedLine, ...]:
    """The habits of a Makefile's or Kbuild's text, in order. `untabbed`: lines that make says want a tab."""
    lines = text.split("\n")
    found: list[DeprecatedLine] = []
    owned = bool(re.search(r"^[ \t]*+(?:export\s+|override\s+)*PWD\s*[:?]?:?=", text, re.M))
    continues = ""
    in_rule = False
    for number, line in enumerate(lines, 1):
        in_rule = _in_rule(line, in_rule)
        kind = continues or _kind_of(line, in_rule)
        continues = kind if line.endswith("\\") else ""
        if line.lstrip().startswith("#"):
            continue
        current = line
        for look in (_spaces, _subdirs, _extra, _pwd):
            habit = look(current, _Line(number, line, kind, text, number in untabbed, owned))
            if habit:
                current = habit.mended or current
                found.append(habit)
    return tuple(found)


def mend(text: str, found: Sequence[DeprecatedLine]) -> str:
    """The text with every deprecated line mended that can be."""
    lines = text.split("\n")
    for one in found:
        if one.mended is not None:
            lines[one.line - 1] = one.mended
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line in which a habit is looked for. `file`: the whole text; `owned`: the text sets PWD itself."""

    number: int
    line: str
    kind: str
    file: str
    untabbed: bool
    owned: bool

    def habit(self, kind: Kind, message: str, fix: str, mended: str | None) -> DeprecatedLine:
        return DeprecatedLine(kind, self.number, self.line, message, fix, mended)


def _in_rule(line: str, before: bool) -> bool:
    """Whether a line with a tab is a command here. Empty lines, comments and conditions don't end a rule."""
    if line.startswith("\t") or not line.strip() or _PASSING.match(line):
        return before
    return bool(_RULE.match(line)) or (before and line.startswith(" ") and not _ASSIGN.match(line))


def _kind_of(line: str, in_rule: bool) -> str:
    """What a line is: `recipe`, `flags` (read by Kbuild), the name of another variable, or ""."""
    if line.startswith("\t") and in_rule:
        return "recipe"
    assigned = _ASSIGN.match(line)
    if assigned and not re.match(r" +\S*(?:make|MAKE)", line):
        return "flags" if _FLAGS.fullmatch(assigned[1]) else f"={assigned[1]}"
    return "recipe" if line.startswith(" ") else ""


def _spaces(line: str, at: _Line) -> DeprecatedLine | None:
    if not at.untabbed:
        return None
    return at.habit(
        "spaces",
        "a command of a rule starts with a tab, this one doesn't",
        f"start the line with a tab: sed -i '{at.number}s/^ */\\t/'",
        "\t" + line.lstrip(" "),
    )


def _subdirs(line: str, at: _Line) -> DeprecatedLine | None:
    if not _SUBDIRS.search(line) or (_ASSIGN.match(line) and line.startswith("SUBDIRS")):
        return None
    if re.search(r"(?<![\w$({])M=", line):
        mended = re.sub(r"(?<!\s)\s*+(?<![\w$({])SUBDIRS\s?=\s?\S+", "", line)
    else:
        mended = _SUBDIRS.sub("M=", line)
    message = "SUBDIRS= is ignored since Linux 5.4: make turns to the kernel itself"
    return at.habit("subdirs", message, "write M= instead of SUBDIRS=", mended)


def _extra(line: str, at: _Line) -> DeprecatedLine | None:
    found = _EXTRA.search(line)
    if found is None:
        return None
    modern = _modern(found)
    if re.search(rf"^[ \t]*+{modern}\s*[:+?]?=.*\$[({{]{found[0]}[)}}]", at.file, re.M):
        return None  # the file hands it on: a variable of its own, which every kernel takes
    mended = None
    # On a command line it would override what the file adds, and exported it is for another make.
    if at.kind != "recipe" and not re.match(r"\s*(?:export|override|unexport)\b", line):
        # `:=` would throw away what is in the modern variable already; Kbuild starts it empty.
        mended = re.sub(rf"^(\s*{modern}\s*)[:?]?=", r"\1+=", _EXTRA.sub(_modern, line))
    fix = f"write {modern} instead"
    if at.kind == "recipe":
        fix = (
            "give options on make's command line as KCFLAGS=" if found[1] == "C" else f"set {modern} instead"
        )
    return at.habit("extra-flags", f"{found[0]} is ignored since Linux 6.15", fix, mended)


def _modern(name: re.Match[str]) -> str:
    return {"C": "ccflags-y", "A": "asflags-y", "LD": "ldflags-y"}[name[1]]


def _pwd(line: str, at: _Line) -> DeprecatedLine | None:
    # Set by the file it is right for commands, where make runs here; Kbuild runs elsewhere.
    if not _PWD.search(line) or (at.owned and at.kind != "flags"):
        return None
    message = "$(PWD) is the shell's: sudo drops it, and make -C leaves it as it was"
    recipe = at.kind == "recipe" or (at.kind.startswith("=") and _only_in_recipes(at.kind[1:], at.file))
    to = "$(src)" if at.kind == "flags" else "$(CURDIR)" if recipe else None
    if to is None:
        return at.habit("pwd", message, "write $(src) in what Kbuild reads, $(CURDIR) in commands", None)
    return at.habit("pwd", message, f"write {to} instead", _PWD.sub(to, line))


def _only_in_recipes(variable: str, text: str) -> bool:
    """Whether a variable is used in commands of rules only: the user's make reads it, and Kbuild doesn't."""
    used = re.compile(rf"\$[({{]{re.escape(variable)}[)}}:]")
    return all(line.startswith("\t") for line in text.split("\n") if used.search(line))
