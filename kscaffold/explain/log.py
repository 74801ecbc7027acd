"""A pasted log of a kernel or a build: which entries of the catalogue its lines mean, oldest cause first."""

from dataclasses import dataclass, replace

from kscaffold.diagnosis import catalogue, crash, klog
from kscaffold.diagnosis.catalogue import CatalogueMatch, Entry
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.explain import unwrap


@dataclass(frozen=True, slots=True)
class Told:
    """An entry with its cause and fix for this log. `lines`: the log's, empty where there is none.

    `where`: `function+offset [module]` of a crash.
    """

    entry: Entry
    cause: str
    fix: str
    lines: tuple[str, ...] = ()
    where: str | None = None


def plain(entry: Entry) -> Told:
    """The entry as it stands in the catalogue."""
    return Told(entry, catalogue.filled(entry.cause, {}), catalogue.filled(entry.fix, {}))


def explain_log(text: str) -> tuple[tuple[Told, ...], tuple[Told, ...]]:
    """The entries that a log's lines mean, and those of them that are harmless, each oldest first.

    A kernel log may stand between lines of make or insmod: every line is looked at in both ways.
    """
    lines = [line for line in unwrap.unwrap_log(text) if line.strip()]
    records = klog.parse_text("\n".join(lines))
    findings = catalogue.match(records)
    whole = _unwrapped(lines, records, findings)
    if whole != records:
        records = whole
        findings = catalogue.match(records)
    told: list[tuple[int, Told]] = [(f.first, _of_finding(f)) for f in findings]
    told += _of_complaints(crash.complaints(records, _module_in(findings)))
    told.sort(key=lambda pair: pair[0])
    folded = tuple(t for _, t in told if t.entry.noise)
    causes = [t for _, t in told if not t.entry.noise]
    return _exact(causes), folded


def _exact(causes: list[Told]) -> tuple[Told, ...]:
    """Without what says less than another: insmod's words beside the kernel's, make's beside the compiler's.

    Building and loading each for itself: a warning of the build is no reason why insmod failed.
    """
    said: set[bool] = {t.entry.stage == "build" for t in causes if not t.entry.vague}
    kept = []
    for told in causes:
        build = told.entry.stage == "build"
        if told.entry.vague and build in said:
            continue
        kept.append(told)
        if build:
            said.add(build)  # of several vague ones the first: make's last words come after
    return tuple(kept)


def _unwrapped(lines: list[str], records: list[Record], findings: list[CatalogueMatch]) -> list[Record]:
    """The records, with two lines as one where only that means something."""
    if len(records) != len(lines):
        return records
    known = {line for finding in findings for line in finding.lines}
    whole = list(records)
    for index in unwrap.rejoin_wrapped(lines):
        first, second = whole[index], whole[index + 1]
        text = f"{first.text} {second.text.strip()}"
        if not {first.text, second.text} & known and catalogue.match([text]):
            whole[index] = replace(first, text=text)
            whole[index + 1] = replace(second, text="")
    return whole


def _of_finding(finding: CatalogueMatch) -> Told:
    return Told(finding.entry, finding.cause, finding.fix, finding.lines)


def _of_complaints(found: list[Complaint]) -> list[tuple[int, Told]]:
    told: dict[str, tuple[int, Told]] = {}
    for complaint in found:
        entry = catalogue.entry_of_complaint(complaint.kind)
        if entry is None:
            continue
        if entry.code in told:
            first, known = told[entry.code]
            lines = (*known.lines, complaint.text)
            told[entry.code] = (first, Told(entry, known.cause, known.fix, lines, known.where))
            continue
        cause = entry.cause
        if complaint.where:
            cause += f"; it was in {complaint.where}"
        # A path that begins with / is of a module built outside the kernel's tree: the reader's own.
        if complaint.source and complaint.source.startswith("/"):
            cause += f", {complaint.source}"
        told[entry.code] = (
            complaint.index,
            Told(entry, cause, entry.fix, (complaint.text,), complaint.where),
        )
    return list(told.values())


def _module_in(findings: list[CatalogueMatch]) -> str | None:
    """The module a log is about, where its lines agree on one."""
    names = {f.groups["module"] for f in findings if "module" in f.groups}
    return names.pop() if len(names) == 1 else None
