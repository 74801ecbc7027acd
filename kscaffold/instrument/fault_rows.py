"""What became of each failing call: a row for each, judged by the try in which it failed."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from kscaffold.diagnosis import catalogue, crash, errnos
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.verdict import Judgement
from kscaffold.instrument import fault_calls
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.finding import Finding, detail
from kscaffold.load.report import LoadReport
from kscaffold.load.tries import Try
from kscaffold.load.unload import UnloadReport
from kscaffold.records import dataclass

Outcome = Literal["clean", "spared", "swallowed", "other-error", "leaked", "misused", "hung", "crashed"]
CODES: dict[Outcome, str] = {
    "swallowed": "KS740",
    "leaked": "KS741",
    "crashed": "KS742",
    "hung": "KS743",
    "other-error": "KS744",
    "misused": "KS745",
}
"""The catalogue's code of each outcome that is not clean."""

CALLS = "/proc/ks_faults"
"""The file of the guest that lists the calls."""
FAIL = "/sys/module/ks_faults/parameters/fail"
"""The file of the guest that takes the number of the call that fails."""
_LINE = re.compile(r"(?P<number>\d+) (?P<function>\w+) (?P<spare>[01]) (?P<site>\S+\+0x\w+/0x\w+.*)")
_MODULE = re.compile(r"\[(?P<module>[\w-]+)")
# Calls of one line that are tried: the first ones, and the last ones.
_FIRST, _LAST = 12, 4


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can fail. `number`: of all of them in a load, from 1. `function`: as the kernel exports it.
    `spare`: the caller says that it can do without (__GFP_NOWARN). `site`: the place it returns to, as the
    kernel names it.
    """

    number: int
    function: str
    spare: bool
    site: str

    @property
    def name(self) -> str:
        """What the source calls the function."""
        return fault_calls.source_name(self.function)

    @property
    def module(self) -> str | None:
        """The kernel's name of the module that calls."""
        found = _MODULE.search(self.site)
        return found["module"] if found else None

    @property
    def failed_with(self) -> str | None:
        """The errno that the failing call gave, by name; None where its failure has none, as NULL."""
        number = fault_calls.failures()[self.function].errno
        return errnos.name(number) if number else None


def read_calls(text: str) -> tuple[list[Call], int]:
    """The calls of /proc/ks_faults, and how many there were: a list that is too long ends early."""
    calls: list[Call] = []
    count = 0
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            site = found["site"]
            if found["function"] in fault_calls.failures():
                calls.append(Call(int(found["number"]), found["function"], found["spare"] == "1", site))
        elif line.endswith(" calls"):
            count = int(line.split()[0])
    return calls, count


def chosen(calls: Sequence[Call]) -> list[Call]:
    """The calls that are tried: all, but of a line that calls in a long loop the first and the last ones."""
    at: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        at.setdefault((call.function, call.site), []).append(call)
    left = {c for same in at.values() for c in same[_FIRST:-_LAST]}
    return [c for c in calls if c not in left]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong after a failing call: a sentence, and its place in the source."""

    text: str
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One failing call. `place`: its line. `returned`: the errno that the load returned, by name; None where
    it returned none. `wrong`: what is not clean, the worst first. `parameters`: those of the load. `test`:
    that in which a call after init failed, None for a call of init's; `returned` is why it failed then.
    """

    call: Call
    place: SourceLine | None
    outcome: Outcome
    returned: str | None
    wrong: tuple[Wrong, ...]
    parameters: str
    test: str | None = None

    @property
    def entry(self) -> catalogue.Entry | None:
        """The catalogue's entry of an outcome that is not clean."""
        return catalogue.entry(CODES[self.outcome]) if self.outcome in CODES else None


@dataclass(frozen=True, slots=True)
class Faults:
    """All failing calls of a run. `left_out`: how many calls were not made to fail: those of long loops.
    `problem`: why no call was, where the load does not go well by itself.
    """

    rows: tuple[Row, ...]
    left_out: int = 0
    problem: str | None = None

    def not_clean(self, allow: Collection[str] = ()) -> tuple[Row, ...]:
        """The rows that are not clean, but for accepted codes."""
        return tuple(r for r in self.rows if r.outcome in CODES and CODES[r.outcome] not in allow)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a load in which a call failed. `late`: what the kernel said after a load that failed;
    None where nobody looked on, or all was well.
    """

    tried: Try
    findings: tuple[Finding, ...]
    late: Attempt | None = None


def judge(call: Call, seen: Seen, usual: Seen, place: SourceLine | None) -> Row:
    """The row of a failing call. `usual`: what is seen when no call fails, which is not this one's fault."""
    loads, _ = seen.tried
    failed = next((r for r in loads if not r.ok), None)
    returned = failed.judgement.errno if failed else None
    known = {_key(f) for f in usual.findings}
    new = [f for f in seen.findings if failed or _key(f) not in known]
    leaks = [*_leaked(f for f in new if f.report.kind == "memory-leak"), *_left_behind(seen, usual)]
    misuse = [
        Wrong(": ".join(filter(None, (f.report.kind, detail(f.report)))), str(f.place) if f.place else None)
        for f in new
        if f.report.kind != "memory-leak"
    ]
    crashed, hung, complaints = _crashed(seen), _hung(seen), _complained(seen, usual)
    outcome: Outcome = "clean"
    if crashed:
        outcome = "crashed"
    elif hung:
        outcome = "hung"
    elif misuse or complaints:
        outcome = "misused"
    elif leaks:
        outcome = "leaked"
    elif failed is None:
        outcome = "spared" if call.spare else "swallowed"
    elif call.failed_with and returned != call.failed_with:
        outcome = "other-error"
    wrong = (*crashed, *hung, *misuse, *complaints, *leaks)
    return Row(call, place, outcome, returned, wrong, loads[-1].parameters.text)


def _key(found: Finding) -> tuple[str, str]:
    where = found.report.where
    return found.report.kind, where.text if where else found.head


def _leaked(found: Iterable[Finding]) -> list[Wrong]:
    leaks = []
    for one in found:
        memory = one.report.memory
        size = memory.size * memory.count if memory else 0
        kind = memory.kind if memory else "memory"
        leaks.append(Wrong(f"{size} bytes ({kind}) are never freed", str(one.place) if one.place else None))
    return leaks


def _left_behind(seen: Seen, usual: Seen) -> list[Wrong]:
    known = {(r.kind, r.name) for report in usual.tried[0] for r in report.residue or ()}
    left = [r for report in seen.tried[0] for r in report.residue or ()]
    return [Wrong(r.text, r.where) for r in left if (r.kind, r.name) not in known]


_LATER = ", some time after init had returned"


def _crashed(seen: Seen) -> list[Wrong]:
    loads, unloads = seen.tried
    found = [_crash(r, _LATER if _was_late(r.judgement) else "") for r in loads if _has_crashed(r)]
    found += [_crash(r, "") for r in unloads if _has_crashed(r)]
    if not found and seen.late is not None:
        said = crash.complaints(seen.late.log)
        worst = next((c for c in said if c.fatal), None)
        text = "the kernel does not answer any more"
        if worst:
            text = crash.cause_of_crash(worst, crash.origin_of(worst, said, loads[-1].module))
        found.append(Wrong(f"{text}{_LATER}", worst.where if worst else None))
    return found


def _has_crashed(report: LoadReport | UnloadReport) -> bool:
    return report.judgement.verdict == "crashed"


def _crash(report: LoadReport | UnloadReport, when: str) -> Wrong:
    text = report.judgement.cause or "the kernel crashed"
    return Wrong(f"{text}{when}", str(report.place) if report.place else None)


def _was_late(judgement: Judgement) -> bool:
    """Whether init was over when the kernel crashed: it had returned, or no frame is in the module. Whether
    the load's own report or a later look sees such a crash is chance; the words are the same.
    """
    fatal = [c for c in judgement.complaints if c.fatal]
    return judgement.returned is not None or (bool(fatal) and not any(c.module for c in fatal))


def _hung(seen: Seen) -> list[Wrong]:
    reports = [r for both in seen.tried for r in both if r.judgement.verdict in ("hung", "lost")]
    return [
        Wrong(r.judgement.cause or "it never came back", str(r.place) if r.place else None) for r in reports
    ]


def _complained(seen: Seen, usual: Seen) -> list[Wrong]:
    known = {c.kind for both in usual.tried for r in both for c in r.judgement.complaints}
    found = [c for both in seen.tried for r in both for c in r.judgement.complaints if not c.fatal]
    return [Wrong(c.summary, c.where) for c in found if c.kind not in known]
