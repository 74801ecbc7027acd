"""The result of each test as a line of JSON, for whoever started pytest."""

import json
from pathlib import Path
from typing import Any

import pytest

SOURCE = "kscaffold.source"
"""The property of a report that has the line of the module's source: FILE:LINE from the project."""


class Results:
    """Listens to reports: also to those of the workers of pytest-xdist, which come to the first process."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Write one line for a file that can't be read."""
        if report.failed:
            self._write(report.nodeid, "error", report.longreprtext, file=report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write one line a test: of its call; of its setup or teardown where that did not go well."""
        if report.when != "call" and report.passed:
            return
        facts = dict(report.user_properties)
        test, number, _ = report.location
        source, _, line = str(facts.get(SOURCE, "")).rpartition(":")
        self._write(
            report.nodeid,
            "error" if report.failed and report.when != "call" else report.outcome,
            _text(report),
            seconds=round(report.duration, 4),
            modules=str(facts.get("kscaffold.modules", "")).split(),
            sections=[list(one) for one in report.sections] if report.failed else [],
            file=source or test,
            line=int(line) if source else _line_in(Path(test).name, report) or (number or 0) + 1,
        )

    def _write(self, test: str, outcome: str, text: str, **more: Any) -> None:
        line = {
            "test": test,
            "outcome": outcome,
            "text": text[-4000:],
            "seconds": 0.0,
            "modules": [],
            "sections": [],
            "file": "",
            "line": 0,
            **more,
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _line_in(test_file: str, report: pytest.TestReport) -> int | None:
    """The innermost line of the test's file that the failure went through: the assertion, or the call. None
    where no traceback tells, as where the kernel's complaint alone fails the test.
    """
    trace = getattr(report.longrepr, "reprtraceback", None)
    places = [getattr(entry, "reprfileloc", None) for entry in getattr(trace, "reprentries", ())]
    lines = [place.lineno for place in places if place and Path(place.path).name == test_file]
    return lines[-1] if lines else None


def _text(report: pytest.TestReport) -> str:
    """Why a test failed or was skipped; pytest tells a skip by file, line and reason."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return "" if report.passed else report.longreprtext or ""
