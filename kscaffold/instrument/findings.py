"""What the sanitizer found in a run, with places in the user's own source."""

from collections.abc import Sequence

from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports import sanitizer
from kscaffold.diagnosis.reports.sanitizer import Report, Site
from kscaffold.elf.module_file import ModuleFile
from kscaffold.instrument.copies import InstrumentedPlan
from kscaffold.load.addr2line import SourceLine, place_of
from kscaffold.load.tries import Try
from kscaffold.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Finding:
    """A report, and its places in the source: of where it was seen, and of each of its sites.

    `parameters`: those of the try it was found in.
    """

    report: Report
    place: SourceLine | None
    places: tuple[tuple[Site, SourceLine | None], ...]
    parameters: str

    @property
    def entry(self) -> catalogue.Entry:
        """The catalogue's entry of its kind."""
        found = catalogue.entry(self.report.meaning.code)
        assert found is not None
        return found

    @property
    def head(self) -> str:
        """The line it begins with, as KASAN, UBSAN and lockdep have it."""
        where, memory = self.report.where, self.report.memory
        count = memory.count if memory else 1
        return self.report.meaning.head.format(
            where=where.text if where else "the module",
            source=self.place or (where.text if where else "the module"),
            count="an object" if count == 1 else f"{count} objects",
            size=memory.size if memory else 0,
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run's sanitizer has to say. `unseen`: what it could not look at, by module. `tries`: the
    numbers, from 0, of the tries in which it found something.
    """

    findings: tuple[Finding, ...]
    unseen: dict[str, str]
    tries: frozenset[int]


def take_findings(results: Sequence[Try], copies: InstrumentedPlan) -> tuple[list[Try], Findings]:
    """The tries as of the user's own modules, without the instruments' lines, and what these say."""
    kos = copies_by_module(copies)
    tries: list[Try] = []
    found: list[Finding] = []
    unseen = dict(copies.unseen)
    buggy: set[int] = set()
    for number, one in enumerate(results):
        of_try = findings_of(one, kos)
        buggy |= {number} if of_try else set()
        found += of_try
        lost = sanitizer.notes(_records(one)).get("untracked")
        if lost:
            unseen["memory"] = f"{lost} allocations, for which the record had no memory"
        tries.append(as_users(one, copies))
    return tries, Findings(tuple(_once(found)), unseen, frozenset(buggy))


def copies_by_module(copies: InstrumentedPlan) -> dict[str, ModuleFile]:
    """The copies that are loaded, by the kernel's names of the modules."""
    plan = copies.plan
    loaded = (*plan.kos, *(n for ns in plan.needs.values() for n in ns))
    return {ko.module: ko for ko in loaded if ko.path in copies.originals}


def findings_of(one: Try, kos: dict[str, ModuleFile]) -> list[Finding]:
    """What the sanitizer found in one try."""
    parameters = one[0][-1].parameters.text if one[0] else ""
    return [locate(r, kos, parameters) for r in sanitizer.read_reports(_records(one))]


def as_users(one: Try, copies: InstrumentedPlan) -> Try:
    """A try as of the user's own modules, without the instruments' lines."""
    loads, unloads = one
    return (
        [replace(r, file=copies.originals.get(r.path, r.file), log=_without(r.log)) for r in loads],
        [replace(u, log=_without(u.log)) for u in unloads],
    )


def _records(one: Try) -> list[Record]:
    return [record for reports in one for report in reports for record in report.log]


def _without(log: Sequence[Record]) -> tuple[Record, ...]:
    return tuple(r for r in log if not sanitizer.is_instruments(r))


def _once(found: Sequence[Finding]) -> list[Finding]:
    """Tries with other parameters often find the same bug: the first one is reported."""
    first: dict[tuple[str, str], Finding] = {}
    for one in found:
        where = one.report.where
        first.setdefault((one.report.kind, where.text if where else one.head), one)
    return list(first.values())


def locate(report: Report, kos: dict[str, ModuleFile], parameters: str) -> Finding:
    """A report with its places in the source. `kos`: the copies, by the kernel's names of the modules."""
    places = tuple((site, _place(site, kos)) for site in report.sites)
    where = report.where
    place = next((p for site, p in places if site is where), None)
    if place is None or (where and where.module not in kos):
        # Seen in the kernel, or in a header of its: the nearest caller of the module's own.
        callers = ((site, _place(site, kos)) for site in report.stack if site.module in kos)
        place = next((p for _, p in callers if p), place)
    return Finding(report, place, places, parameters)


def _place(site: Site, kos: dict[str, ModuleFile]) -> SourceLine | None:
    return place_in(site.text, site.module, kos)


def place_in(where: str, module: str | None, kos: dict[str, ModuleFile]) -> SourceLine | None:
    """The line of the user's source of a place in a copy, as the kernel names it."""
    if module not in kos:
        return None
    return place_of(where, kos[module], ())


def detail(report: Report) -> str | None:
    """The sentence behind the head: what was done to which memory or lock."""
    memory = report.memory
    if memory and report.access in ("read", "write") and memory.offset is not None:
        many = "bytes" if report.size != 1 else "byte"
        name = f" {memory.label}" if memory.label else ""
        return (
            f"{report.access} of {report.size} {many} at {_offset(memory.offset)} of "
            f"{_article(memory.size)} {memory.size}-byte object{name} ({memory.kind})"
        )
    if memory and report.access == "free":
        at = f" at {_offset(memory.offset)}" if memory.offset else ""
        return f"free{at} of {_article(memory.size)} {memory.size}-byte object ({memory.kind})"
    if memory:
        return f"{memory.count * memory.size} bytes in all ({memory.kind})"
    if report.lock and not report.text:
        return f"the lock is {report.lock}"
    return report.text


def _offset(offset: int | None) -> str:
    return f"{offset:+d}" if offset else "+0"


def _article(number: int) -> str:
    # eight, eleven, eighteen, eighty
    return "an" if str(number).startswith("8") or number in (11, 18) else "a"
