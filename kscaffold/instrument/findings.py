"""What the sanitizer found in a run, with places in the user's own source."""

from collections.abc import Mapping, Sequence

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports import sanitizer
from kscaffold.elf.module_file import ModuleFile
from kscaffold.instrument.copies import InstrumentedPlan
from kscaffold.load.finding import Finding, locate, without_reports
from kscaffold.load.tries import Try
from kscaffold.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run's sanitizer has to say. `unseen`: what it could not look at, by module. `codes`: those
    of what it found in each try that has any, by the try's number, from 0.
    """

    findings: tuple[Finding, ...]
    unseen: dict[str, str]
    codes: dict[int, frozenset[str]]


def take_findings(
    results: Sequence[Try], copies: InstrumentedPlan, logs: Mapping[int, Sequence[Record]]
) -> tuple[list[Try], Findings]:
    """The tries as of the user's own modules, without the instruments' lines, and what these say. `logs`: as
    for findings_of, by the try's number.
    """
    kos = copies_by_module(copies)
    tries: list[Try] = []
    found: list[Finding] = []
    unseen = dict(copies.unseen)
    codes: dict[int, frozenset[str]] = {}
    for number, one in enumerate(results):
        log = logs.get(number, ())
        of_try = findings_of(one, kos, log)
        if of_try:
            codes[number] = frozenset(f.entry.code for f in of_try)
        found += of_try
        lost = sanitizer.notes(_records(one, log)).get("untracked")
        if lost:
            unseen["memory"] = f"{lost} allocations, for which the record had no memory"
        tries.append(as_users(one, copies))
    return tries, Findings(tuple(_once(found)), unseen, codes)


def copies_by_module(copies: InstrumentedPlan) -> dict[str, ModuleFile]:
    """The copies that are loaded, by the kernel's names of the modules."""
    plan = copies.plan
    loaded = (*plan.kos, *(n for ns in plan.needs.values() for n in ns))
    return {ko.module: ko for ko in loaded if ko.path in copies.originals}


def findings_of(one: Try, kos: dict[str, ModuleFile], log: Sequence[Record]) -> list[Finding]:
    """What the sanitizer found in one try. `log`: all that its kernel said, empty where it could not be
    asked.
    """
    parameters = one[0][-1].parameters.text if one[0] else ""
    return [locate(r, kos, parameters) for r in sanitizer.read_reports(_records(one, log))]


def as_users(one: Try, copies: InstrumentedPlan) -> Try:
    """A try as of the user's own modules, without the instruments' lines."""
    loads, unloads = one
    return (
        [replace(r, file=copies.originals.get(r.path, r.file), log=without_reports(r.log)) for r in loads],
        [replace(u, log=without_reports(u.log)) for u in unloads],
    )


def _records(one: Try, log: Sequence[Record]) -> Sequence[Record]:
    """The log of a call ends with the call, and a report of another task's may not have ended then."""
    return log or [record for reports in one for report in reports for record in report.log]


def _once(found: Sequence[Finding]) -> list[Finding]:
    """Tries with other parameters often find the same bug: the first one is reported."""
    first: dict[tuple[str, str], Finding] = {}
    for one in found:
        where = one.report.where
        first.setdefault((one.report.kind, where.text if where else one.head), one)
    return list(first.values())
