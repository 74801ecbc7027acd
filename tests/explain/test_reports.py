"""Real reports, told again in short: each gets the truth's answer, and none of the wrong ones."""

import re
import tomllib

import pytest

from kscaffold.explain.explain import Explanation, explain
from tests.support.evidence import DATA

REPORTS = tomllib.loads((DATA / "reports.toml").read_text(encoding="utf-8"))


def text_of(found: Explanation) -> str:
    """All that a reader sees of the answer."""
    told = [
        f"{t.entry.code} {t.entry.title} {t.entry.what} {t.cause} {t.fix} {t.more}" for t in found.entries
    ]
    return " ".join(" ".join((found.title, found.text, *told)).split())


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_gets_the_truth_and_nothing_else(name):
    report = REPORTS[name]
    found = explain(log=report["log"])
    assert [t.entry.code for t in found.entries] == report["codes"]
    assert [t.entry.code for t in found.folded if t.entry.code in report.get("never", ())] == []
    causes = " ".join(f"{t.cause} {t.fix} {t.more}" for t in found.entries)
    for part in report.get("says", ()):
        assert part in text_of(found), part
    for part in report.get("never", ()):
        assert part not in causes, part
    for told in found.entries:
        assert told.cause and told.fix and "{" not in told.cause + told.fix.replace("${", "")


# Real failed builds of sources for another kernel's interface (tests/make/test_failed_builds.py).
CHANGED = [
    (f"{path.stem}-{name}", log)
    for path in sorted((DATA / "build").glob("changes-*.txt"))
    for name, log in re.findall(r"^=== (\S+)\n((?:(?!=== ).*\n?)*)", path.read_text(encoding="utf-8"), re.M)
]


@pytest.mark.parametrize(("name", "log"), CHANGED, ids=[name for name, _ in CHANGED])
def test_a_pasted_build_that_a_change_broke_gets_the_change_and_nothing_else(name, log):
    found = explain(log=log)
    assert [t.entry.code for t in found.entries] == ["KS119"]
    assert re.search(
        r"(?:since|until) Linux \d|is there since|is declared otherwise since", found.entries[0].cause
    )
