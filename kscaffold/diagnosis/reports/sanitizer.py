"""What kscaffold's sanitizer says in a kernel's log: `ks_sanitize: NUMBER KEY VALUE`, a fact a line."""

import re
from collections.abc import Iterable, Sequence

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports.kinds import KINDS, Kind
from kscaffold.records import dataclass, field, replace

_LINE = re.compile(r"^ks_sanitize: (?P<id>\d{1,9}) (?P<key>[a-z-]{1,32})(?: (?P<value>.*))?$")
_SITE = re.compile(
    r"(?P<function>[\w.$]+)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)(?: \[(?P<module>[\w-]+)[^]]*\])?"
)
_KERNELS_OWN = re.compile(r"do_one_initcall\+|do_init_module\+|__(?:do_)?sys_\w+\+|do_syscall_64\+")
# Sites a report can have beside its own, in the order they are shown.
SITES = {
    "alloc": "allocated",
    "free": "freed",
    "held": "taken",
    "interrupt": "taken in an interrupt",
    "opposite-first": "in the other order: first",
    "opposite-second": "in the other order: then",
}


@dataclass(frozen=True, slots=True)
class Site:
    """A place in code, as the kernel names it. `text`: `function+0xoffset/0xsize [module]`. `role`: a key of
    SITES, or `at`. The address is the one the call will come back to.
    """

    role: str
    text: str
    function: str
    module: str | None


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory a report is about, in bytes. `kind`: kmalloc, slab, vmalloc, pages, global. `offset`:
    where in the object the access began; `count`: how many such objects.
    """

    kind: str
    size: int
    offset: int | None = None
    label: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """One report of the sanitizer's. `kind`: as KASAN, UBSAN and lockdep call it. `access`: read, write or
    free, of `size` bytes at `address`. `sites`: where it was seen, then who is concerned. `stack`: its
    callers, the nearest first. `source`: file, line and column where the compiler itself told them. `text`:
    the sanitizer's own words. `lock`: the lock's name or address. `task`: `name/pid`. `number`: of the
    kernel's reports, from 1. `is_whole`: its last line is there.
    """

    kind: str
    task: str
    access: str | None = None
    size: int = 0
    address: str | None = None
    memory: Memory | None = None
    sites: tuple[Site, ...] = ()
    stack: tuple[Site, ...] = ()
    source: tuple[str, int, int] | None = None
    text: str | None = None
    lock: str | None = None
    number: int = 0
    is_whole: bool = True

    @property
    def meaning(self) -> Kind:
        """What this kind is called, and its code."""
        return KINDS[self.kind]

    @property
    def where(self) -> Site | None:
        """The place it was seen at: of a leak, where the memory was allocated."""
        return next((s for s in self.sites if s.role == "at"), self.sites[0] if self.sites else None)


@dataclass(slots=True)
class _Open:
    kind: str
    number: int
    facts: dict[str, str] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    stack: list[Site] = field(default_factory=list)


def is_instruments(record: Record) -> bool:
    """Whether a line of the log is an instrument's, and not the module's."""
    return record.text.startswith(("ks_sanitize: ", "ks_faults: ", "ks_coverage: "))


def read_reports(records: Iterable[Record]) -> tuple[Report, ...]:
    """The reports in a log, in their order. A report that was cut off counts as far as it goes."""
    reports: dict[int, _Open] = {}
    done: list[Report] = []
    for record in records:
        found = _LINE.match(record.text[:1024])
        if found is None:
            continue
        number, key, value = int(found["id"]), found["key"], found["value"] or ""
        if key == "report":
            kind, _, rest = value.partition(" ")
            if number and kind in KINDS:
                reports[number] = _Open(
                    kind, number, {"task": rest.removeprefix("task ").partition(" cpu ")[0]}
                )
        elif number in reports and key == "end":
            done.append(_closed(reports.pop(number)))
        elif number in reports:
            _note(reports[number], key, value)
    return (*done, *(replace(_closed(left), is_whole=False) for left in reports.values()))


def notes(records: Iterable[Record]) -> dict[str, str]:
    """What the sanitizer says of itself: `deaf` (a tracepoint it lacks), `untracked` (allocations it had no
    memory to note)."""
    lines = [found for r in records if (found := _LINE.match(r.text[:1024]))]
    return {line["key"]: line["value"] or "" for line in lines if line["id"] == "0"}


def _note(report: _Open, key: str, value: str) -> None:
    if key == "by":
        site = _site(key, value)
        if site and not _KERNELS_OWN.match(site.text):
            report.stack.append(site)
    elif key == "at" or key in SITES:
        if site := _site(key, value):
            report.sites.append(site)
    else:
        report.facts[key] = value


def _site(role: str, text: str) -> Site | None:
    found = _SITE.match(text)
    return Site(role, found[0], found["function"], found["module"]) if found else None


def _closed(report: _Open) -> Report:
    facts = report.facts
    access, size, address = _words(facts.get("access", ""), 3)
    line, _, file = facts.get("source", "").partition(" ")
    lock = facts.get("lock", "")
    numbers = [int(n) for n in line.split(":")] if re.fullmatch(r"\d+:\d+", line) else []
    return Report(
        report.kind,
        facts.get("task", ""),
        access or None,
        int(size) if size.isdecimal() else 0,
        address or None,
        _memory(facts),
        tuple(report.sites),
        tuple(report.stack),
        (file, numbers[0], numbers[1]) if file and numbers else None,
        facts.get("text"),
        _lock_name(lock) if lock else None,
        report.number,
    )


def _memory(facts: dict[str, str]) -> Memory | None:
    if "leak" in facts:
        count, size, kind = _words(facts["leak"], 3)
        return Memory(kind, int(size), count=int(count)) if count.isdecimal() and size.isdecimal() else None
    kind, _, size, offset, label = _words(facts.get("object", ""), 5)
    if not size.isdecimal():
        return None
    return Memory(kind, int(size), _number(offset), None if label in ("", "-") else label)


def _number(text: str) -> int:
    """A number; 0 for what a module printed in the place of one."""
    return int(text) if text.removeprefix("-").isdecimal() else 0


def _lock_name(text: str) -> str:
    """`ffff… name+0x0/0x… [module]` is `name`."""
    address, _, symbol = text.partition(" ")
    name = symbol.partition("+0x")[0]
    return name or address


def _words(text: str, count: int) -> Sequence[str]:
    words = text.split(" ", count - 1) if count == 5 else text.split()
    return [*words, *[""] * count][:count]
