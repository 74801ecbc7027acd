"""Load the modules of one command, each after what it needs, until one is not loaded."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from kscaffold.elf.quick import module_name
from kscaffold.load.load import load
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor
from kscaffold.load.report import LoadReport
from kscaffold.targets.target import Target


def load_series(
    jobs: LoadPlan,
    target: Target,
    *,
    timeout: float,
    outlook: Predictor | None,
    seconds: Mapping[str, float],
    tell: Callable[[LoadReport], None],
) -> list[LoadReport]:
    """Load `jobs.kos` in order. What they need and is not loaded yet is loaded before them, without
    parameters, and named in their reports; where that fails, its own report is the answer.

    `timeout` of each load and `seconds` spent so far in seconds. `tell` hears of each report.
    """
    reports: list[LoadReport] = []
    for ko in jobs.kos:
        loaded: list[str] = []
        for needed in jobs.needs.get(ko, ()):
            if any(m.name == module_name(needed) for m in target.modules()):
                continue
            first = load(needed, "", target, timeout=timeout, seconds=dict(seconds), outlook=outlook)
            loaded.append(first.module)
            if not first.ok:
                tell(first)
                return [*reports, first]
        report = load(ko, jobs.parameters, target, timeout=timeout, seconds=dict(seconds), outlook=outlook)
        report = replace(report, dependencies=tuple(loaded))
        reports.append(report)
        tell(report)
        if not report.ok:
            break
    return reports
