"""What instruments found, as sections of a page for a browser."""

from kscaffold.cli.render.faults import ending
from kscaffold.diagnosis.reports.sanitizer import SITES
from kscaffold.explain.html import Section
from kscaffold.instrument.coverage import Coverage
from kscaffold.instrument.fault_rows import Faults
from kscaffold.instrument.findings import Findings
from kscaffold.load.finding import detail
from kscaffold.load.verbs.run import Run


def sections_of(done: Run) -> list[Section]:
    """A section for each instrument that a run had."""
    return [
        *([_of_sanitizer(done.sanitizer)] if done.sanitizer else []),
        *([_of_faults(done.faults, done.allow)] if done.faults else []),
        *([_of_coverage(done.coverage)] if done.coverage else []),
    ]


def _of_sanitizer(found: Findings) -> Section:
    rows, sources = [], []
    for one in found.findings:
        sites = (
            f"{SITES[site.role]}: {place or site.text}"
            for site, place in one.places
            if site.role in SITES and site is not one.report.where
        )
        entry = one.entry
        more = "; ".join(filter(None, (detail(one.report), *sites)))
        rows.append((entry.code, one.head, str(one.place or ""), more, entry.cause, entry.fix))
        if one.place and one.place.lines:
            lines = tuple((n, text, n == one.place.line) for n, text in one.place.lines)
            sources.append((f"{one.head} ({one.place})", lines))
    unseen = "; ".join(f"not looked at in {name}: {what}" for name, what in found.unseen.items())
    count = len(found.findings)
    summary = f"{count} report{'' if count == 1 else 's'}" if count else "Nothing to report"
    columns = ("code", "report", "line", "more", "cause", "fix")
    return Section("The sanitizer", f"{summary}. {unseen}".strip(), columns, tuple(rows), tuple(sources))


def _of_faults(found: Faults, allow: frozenset[str]) -> Section:
    bad, total = len(found.not_clean(allow)), len(found.rows)
    summary = found.problem or f"{total - bad} of {total} failing calls came to a good end."
    rows = tuple(
        (row.call.number, f"{row.call.name}()", str(row.place or ""), ending(row), row.parameters)
        for row in found.rows
    )
    return Section("Failing calls", summary, ("number", "call", "line", "what came of it", "with"), rows)


def _of_coverage(found: Coverage) -> Section:
    rows = tuple(
        (
            f.file,
            f"{f.ran} of {len(f.lines)}",
            f"{f.called} of {len(f.functions)}",
            ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in f.missing),
        )
        for f in found.files
    )
    sources = tuple(
        (
            f"{f.file}: the marked lines did not run",
            tuple((n, text, f.lines.get(n) == 0) for n, text in enumerate(f.text, 1)),
        )
        for f in found.files
    )
    summary = f"{100 * found.share:.0f} % of the lines ran."
    return Section("Coverage", summary, ("file", "lines", "functions", "not run"), rows, sources)
