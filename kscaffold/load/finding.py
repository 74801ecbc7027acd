"""One report of the sanitizer's, with its places in the user's own source."""

from collections.abc import Mapping, Sequence

from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports.sanitizer import Report, Site, is_instruments
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine, place_of
from kscaffold.records import dataclass


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

    @property
    def lock_site(self) -> str:
        """Of a lock, where it was taken, as the end of a sentence; empty where that is the line itself."""
        held = (place for site, place in self.places if site.role == "held" and place)
        return next((f"; the lock was taken at {p}" for p in held if str(p) != str(self.place)), "")


def without_reports(log: Sequence[Record]) -> tuple[Record, ...]:
    """A log without what an instrument's helper wrote there."""
    return tuple(r for r in log if not is_instruments(r))


def locate(report: Report, kos: Mapping[str, ModuleFile], parameters: str) -> Finding:
    """A report with its places in the source. `kos`: the copies, by the kernel's names of the modules."""
    places = tuple((site, _place(site, kos)) for site in report.sites)
    where = report.where
    place = next((p for site, p in places if site is where), None)
    if place is None or (where and where.module not in kos):
        # Seen in the kernel, or in a header of its: the nearest caller of the module's own.
        callers = ((site, _place(site, kos)) for site in report.stack if site.module in kos)
        place = next((p for _, p in callers if p), place)
    return Finding(report, place, places, parameters)


def _place(site: Site, kos: Mapping[str, ModuleFile]) -> SourceLine | None:
    return place_in(site.text, site.module, kos)


def place_in(where: str, module: str | None, kos: Mapping[str, ModuleFile]) -> SourceLine | None:
    """The line of the user's source of a place in a copy, as the kernel names it."""
    ko = kos.get(module) if module else None
    return place_of(where, ko, ()) if ko else None


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
