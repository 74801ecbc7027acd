"""Failed tests as the services of continuous integration show them beside the source."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kscaffold.testing.pytest_job import TestResult

GITLAB_REPORT = "gl-code-quality-report.json"
"""The file that a job of GitLab uploads; the pipeline that `ci gitlab` prints names it."""

_FAILED = ("failed", "error")


def github(results: Sequence[TestResult], project: Path, environment: Mapping[str, str]) -> list[str]:
    """A workflow command of GitHub Actions for each failure; none where no such job runs."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    top = environment.get("GITHUB_WORKSPACE") or project
    return [
        f"::error file={_value(_path(one, project, top))},line={one.line},title={_value(_title(one))}"
        f"::{_text(_why(one))}"
        for one in results
        if one.outcome in _FAILED
    ]


def gitlab(results: Sequence[TestResult], project: Path, environment: Mapping[str, str]) -> str | None:
    """GitLab's report of code quality, as JSON; None where no job of GitLab's runs."""
    if environment.get("GITLAB_CI") != "true":
        return None
    top = environment.get("CI_PROJECT_DIR") or project
    found = [
        {
            "description": f"{_title(one)}: {_why(one)}",
            "check_name": one.test.rpartition("::")[2].partition("[")[0],
            "fingerprint": hashlib.sha256(f"{one.test} {one.kernel}".encode()).hexdigest(),
            "severity": "major",
            "location": {"path": _path(one, project, top), "lines": {"begin": max(1, one.line)}},
        }
        for one in results
        if one.outcome in _FAILED
    ]
    return json.dumps(found, indent=2) + "\n"


def _path(one: TestResult, project: Path, top: str | Path) -> str:
    return os.path.relpath(project / one.file, top)


def _title(one: TestResult) -> str:
    return f"{one.test.rpartition('::')[2].partition('[')[0]} on {one.kernel}"


def _why(one: TestResult) -> str:
    """The line of pytest's text that says what was wrong."""
    lines = [line for line in one.text.splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    first = errors[0] if errors else lines[0].strip() if lines else one.outcome
    # Of a second run: what the line that is annotated has done, or the call that gave the wrong answer.
    return "\n".join([first, *(line for line in lines if line.startswith("in a second run "))])


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
