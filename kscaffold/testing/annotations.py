"""Failed tests as the services of continuous integration show them beside the source."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kscaffold.project.ask import kbuild_file
from kscaffold.testing.pytest_job import TestResult

GITLAB_REPORT = "gl-code-quality-report.json"
"""The file that a job of GitLab uploads; the pipeline that `ci gitlab` prints names it."""

_FAILED = ("failed", "error")
_OURS = "kscaffold.testing.guest.GuestFailure: "


def github(results: Sequence[TestResult], project: Path, environment: Mapping[str, str]) -> list[str]:
    """A workflow command of GitHub Actions for each failure; none where no such job runs."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    top = environment.get("GITHUB_WORKSPACE") or project
    return [
        f"::error file={_value(path)},line={line},title={_value(_title(one))}::{_text(_why(one))}"
        for one in results
        if one.outcome in _FAILED
        for path, line in [_place(one, project, top)]
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
            "location": {"path": path, "lines": {"begin": line}},
        }
        for one in results
        if one.outcome in _FAILED
        for path, line in [_place(one, project, top)]
    ]
    return json.dumps(found, indent=2) + "\n"


def _place(one: TestResult, project: Path, top: str | Path) -> tuple[str, int]:
    """The file, from the top of the repository, and the line. A test that is not the project's, as those of
    the standard examination, is no file that a service could show: what Kbuild reads of the project is.
    """
    file = Path(os.path.normpath(project / one.file))
    if file.is_relative_to(project):
        return os.path.relpath(file, top), max(1, one.line)
    return os.path.relpath(kbuild_file(project) or project, top), 1


def _title(one: TestResult) -> str:
    return f"{one.test.rpartition('::')[2].partition('[')[0]} on {one.kernel}"


def _why(one: TestResult) -> str:
    """The line of pytest's text that says what was wrong."""
    lines = [line for line in one.text.splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    first = errors[0].removeprefix(_OURS) if errors else lines[0].strip() if lines else one.outcome
    # The kernel's words are of the line that is annotated; so is what a second run showed.
    more = (line for line in lines if line.startswith(("the kernel complained: ", "in a second run ")))
    return "\n".join(dict.fromkeys((first, *more)))


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
