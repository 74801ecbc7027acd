"""How the sanitizer's reports look to people."""

from kscaffold import console
from kscaffold.cli.render.source_line import source
from kscaffold.diagnosis.reports.sanitizer import SITES
from kscaffold.instrument.findings import Findings
from kscaffold.load.finding import Finding, detail


def findings(found: Findings) -> None:
    """All reports, then what was not looked at."""
    for one in found.findings:
        finding(one)
    if not found.findings:
        console.step("Clean", "the sanitizer has nothing to report")
    for name, what in found.unseen.items():
        console.note(f"   note: not looked at in {console.printable(name)}: {what}")


def finding(finding: Finding) -> None:
    """One report, with its lines of source, its cause and its fix."""
    console.out(console.styled(console.printable(finding.head), "red"))
    if text := detail(finding.report):
        console.out(f"  {console.printable(text)}")
    if finding.place:
        source(finding.place, console.out)
    for site, place in finding.places:
        if site.role in SITES and site is not finding.report.where:
            shown = f"{place}, {place.function}()" if place else site.text
            console.out(f"  {SITES[site.role]}: {console.printable(shown)}")
            if place and (line := dict(place.lines).get(place.line)):
                console.out(f"     {place.line:>4} | {console.printable(line.expandtabs(4))}")
    for site in finding.report.stack:
        if site.module:
            console.out(f"  called by: {console.printable(site.text)}")
    if finding.parameters:
        console.out(f"  with: {console.printable(finding.parameters)}")
    entry = finding.entry
    console.out(f"  {console.styled('cause', 'cyan')}: {entry.cause}")
    console.out(console.fix_line(entry.fix))
    console.out(f"   {console.styled('more', 'cyan')}: kscaffold explain {entry.code}")
