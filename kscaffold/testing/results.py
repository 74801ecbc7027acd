"""The result of each test as a line of JSON, for whoever started pytest."""

import json
from pathlib import Path

import pytest


class Results:
    """Listens to reports: also to those of the workers of pytest-xdist, which come to the first process."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write one line a test: of its call; of its setup or teardown where that did not go well."""
        if report.when != "call" and report.passed:
            return
        facts = dict(report.user_properties)
        text = "" if report.passed else (report.longreprtext or "")
        line = {
            "test": report.nodeid,
            "outcome": "error" if report.failed and report.when != "call" else report.outcome,
            "seconds": round(report.duration, 4),
            "kernel": str(facts.get("kscaffold.kernel", "")),
            "modules": str(facts.get("kscaffold.modules", "")).split(),
            "text": text[-4000:],
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
