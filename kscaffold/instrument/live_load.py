"""Instrumented copies in a sandbox that lives on: what a load does before and after the modules are in."""

from collections.abc import Sequence
from pathlib import Path

from kscaffold.instrument.copies import InstrumentedPlan
from kscaffold.instrument.findings import Findings, as_users, copies_by_module, take_findings
from kscaffold.load import live_copies
from kscaffold.load.leftovers import LiveLeftovers
from kscaffold.load.report import LoadReport
from kscaffold.load.tries import load_helpers
from kscaffold.records import replace
from kscaffold.targets.target import Target


def load_missing_helpers(
    copies: InstrumentedPlan, target: Target, leftovers: LiveLeftovers, timeout: float
) -> None:
    """Load the helpers that the sandbox does not have from an earlier load. Raises as `load_helpers`."""
    there = {m.name for m in target.modules()}
    missing = tuple(one for one in copies.plan.first if one[0].module not in there)
    if missing:
        load_helpers(replace(copies.plan, first=missing), target, timeout)
        leftovers.after_helpers()


def as_user(report: LoadReport, copies: InstrumentedPlan) -> LoadReport:
    """A load's report as of the user's own module, without the helper's lines."""
    return as_users(([report], []), copies)[0][0]


def take_load(
    at: Path, reports: Sequence[LoadReport], copies: InstrumentedPlan
) -> tuple[list[LoadReport], Findings]:
    """The reports as of the user's own modules, and what the sanitizer found meanwhile. Which copies are in
    now, and what was told, is noted for the commands to come in the directory `at`.
    """
    loaded = {name for r in reports for name in (*r.dependencies, *([r.module] if r.ok else []))}
    live_copies.note_copies(at, (ko for name, ko in copies_by_module(copies).items() if name in loaded))
    tries, found = take_findings([(list(reports), [])], copies, {})
    if all(r.ok for r in reports):  # what another task has not said to its end, the next command tells
        found = replace(found, findings=tuple(f for f in found.findings if f.report.is_whole))
    live_copies.note_told(at, (f.report.number for f in found.findings))
    return tries[0][0], found
