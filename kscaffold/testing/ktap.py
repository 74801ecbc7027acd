"""Results that a kernel prints: KTAP, as KUnit does, and the sums of kselftest's modules.

Documentation/dev-tools/ktap.rst of the kernel has the format; TAP version 14 is what KUnit called it before
Linux 5.19. kselftest's modules print one sum (tools/testing/selftests/kselftest_module.h).
"""

import re
from collections.abc import Iterable
from typing import Literal

from kscaffold.records import dataclass

Outcome = Literal["passed", "failed", "skipped"]

_INDENT = 4
# What stands before a line: a time and a caller of printk's, and what a module puts there by pr_fmt().
_TIME = re.compile(r"\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")
_VERSION = re.compile(r"(?P<before>[\w.-]+: )?(?P<indent> *)(?:KTAP version 1|TAP version 1[34])$")
_SUBTEST = re.compile(r" *# Subtest: (?P<name>.+)$")
_PLAN = re.compile(r"(?P<indent> *)1\.\.(?P<count>\d+)(?: # ?(?P<skip>(?i:skip))\b ?(?P<why>.*))?$")
_BAIL = re.compile(r" *Bail out!\s*(?P<why>.*)$")
_RESULT = re.compile(
    r"(?P<indent> *)(?P<no>not )?ok\b(?: (?P<number>\d+))?(?: -)?(?: (?P<name>(?!#).*?))?"
    r"(?: # ?(?P<directive>(?i:SKIP|TODO|XFAIL|TIMEOUT|ERROR))\b:? ?(?P<why>.*))?(?: # .*)?$"
)
_SUM = re.compile(
    r"(?P<module>\w+): (?:(?P<all>all|remaining) \d+ tests passed"
    r"|failed (?P<failed>\d+) out of (?P<of>\d+) tests|(?P<skipped>skipped) \d+ tests)$"
)


@dataclass(frozen=True, slots=True)
class KtapResult:
    """One case. `name`: with those of its suites before it, `suite.case`. `text`: why it failed, or was
    skipped.
    """

    name: str
    outcome: Outcome
    text: str = ""


@dataclass(slots=True)
class _Level:
    """A suite whose cases come: its name, how many it planned, how many came."""

    name: str = ""
    planned: int | None = None
    came: int = 0
    failed: bool = False


def results(lines: Iterable[str]) -> tuple[KtapResult, ...]:
    """The cases in a kernel's log, in their order; a suite only where it failed and none of its cases did. A
    plan that was not kept to its end is a case that failed.
    """
    found: list[KtapResult] = []
    levels: list[_Level] = []
    said: list[str] = []
    before = ""
    for text in lines:
        line = _TIME.sub("", text, count=1) if _TIME.match(text) else text
        line = line.removeprefix(before)
        if total := _SUM.match(line):
            found.append(_sum(total))
        elif version := _VERSION.match(line):
            before = version["before"] or before
            depth = len(version["indent"]) // _INDENT
            if depth == 0:
                found += _cut_short(levels)
                levels = []
            levels = [*levels[:depth], *(_Level() for _ in range(depth + 1 - len(levels[:depth])))]
        elif levels:
            _take(line, levels, said, found)
    return (*found, *_cut_short(levels))


def _take(line: str, levels: list[_Level], said: list[str], found: list[KtapResult]) -> None:
    """One line after the first version line."""
    if subtest := _SUBTEST.match(line):
        _at(levels, (len(line) - len(line.lstrip())) // _INDENT).name = subtest["name"].strip()
    elif plan := _PLAN.match(line):
        level = _at(levels, len(plan["indent"]) // _INDENT)
        level.planned = int(plan["count"])
        if plan["skip"] and len(levels) == 1:  # that of a suite is told by the suite's own line
            found.append(KtapResult(level.name or "the plan", "skipped", plan["why"]))
    elif bail := _BAIL.match(line):
        names = [one.name for one in levels if one.name]
        found.append(KtapResult(".".join([*names, "Bail out!"]), "failed", bail["why"]))
        levels.clear()
    elif result := _RESULT.match(line):
        depth = len(result["indent"]) // _INDENT
        inside = levels[depth + 1] if depth + 1 < len(levels) else None
        level = _at(levels, depth)
        level.came += 1
        name: str = (result["name"] or "").strip() or result["number"] or str(level.came)
        names = [one.name for one in levels[: depth + 1] if one.name]
        outcome = _outcome(result)
        text = "\n".join(said) if outcome == "failed" else result["why"] or ""
        level.failed = level.failed or outcome == "failed"
        if inside is None or not inside.came or (outcome == "failed" and not inside.failed):
            found.append(KtapResult(".".join([*names, name]), outcome, text))
        said.clear()
    elif line.lstrip().startswith("#"):
        said.append(line.strip().lstrip("# "))


def _at(levels: list[_Level], depth: int) -> _Level:
    """The level of a line; what was deeper has ended, and a level that no version line began begins."""
    del levels[depth + 1 :]
    while len(levels) <= depth:
        levels.append(_Level())
    return levels[depth]


def _outcome(result: re.Match[str]) -> Outcome:
    directive = (result["directive"] or "").upper()
    if directive == "SKIP":
        return "skipped"
    return "failed" if result["no"] and directive not in ("TODO", "XFAIL") else "passed"


def _cut_short(levels: list[_Level]) -> list[KtapResult]:
    """The suite that did not come to the end of its plan: the innermost, where the kernel stopped."""
    for level in reversed(levels):
        if level.planned is not None and level.came < level.planned:
            text = f"{level.planned} were planned, and {level.came} came"
            return [KtapResult(level.name or "the plan", "failed", text)]
    return []


def _sum(total: re.Match[str]) -> KtapResult:
    if total["failed"]:
        return KtapResult(total["module"], "failed", f"failed {total['failed']} out of {total['of']} tests")
    return KtapResult(total["module"], "skipped" if total["skipped"] else "passed")
