"""`run --faults=all`: calls after init, driven by the project's tests, each made to fail once."""

import json
from concurrent.futures import ThreadPoolExecutor
from os import sched_getaffinity
from pathlib import Path
from typing import Any

from kscaffold.errors import KscaffoldError
from kscaffold.instrument.fault_rows import Call, Outcome, Row, Wrong, chosen, read_calls
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.request import Instruments, LoadRequest, TargetRequest
from kscaffold.load.verbs.run import Run
from kscaffold.progress import Progress
from kscaffold.project.find import find_project
from kscaffold.records import replace
from kscaffold.testing.pytest_job import PytestEnded, PytestJob, run_pytest

_MOST = 200  # calls of all tests together


def with_later_calls(done: Run, request: LoadRequest, where: TargetRequest, progress: Progress) -> Run:
    """The run with a row for each call after init as well, where it asks for that and there are tests."""
    if request.instruments.faults != "all" or done.faults is None or done.failed_build or request.kos:
        return done
    project = find_project(request.directory)
    tests = project / "tests"
    if not tests.is_dir():
        progress.note(f"no call after init fails: {project.name} has no tests/ that would make any")
        return done
    asked = Instruments(request.instruments.sanitize, "all")
    job = PytestJob(project, project, where.kernel, (tests,), (), where.offline, instruments=asked)
    usual = {(d["test"]): d for d in _documents(run_pytest(job))}
    points = [(test, call) for test, d in usual.items() for call in chosen(read_calls(d["calls"])[0])]
    left_out = max(0, len(points) - _MOST)
    points = points[:_MOST]
    if points:
        plural = "s" if len(points) != 1 else ""
        progress.step("Failing", f"{len(points)} call{plural} of the tests, one at a time")

    def one(point: tuple[str, Call]) -> Row:
        test, call = point
        options = ("--kscaffold-fail", str(call.number), "-p", "no:cacheprovider")
        path = project / test.partition("[")[0]
        ended = run_pytest(replace(job, paths=(path,), options=options))
        return _row(test, call, usual[test], ended)

    with ThreadPoolExecutor(len(sched_getaffinity(0))) as pool:
        rows = tuple(pool.map(one, points))
    faults = replace(done.faults, rows=(*done.faults.rows, *rows), left_out=done.faults.left_out + left_out)
    return replace(done, faults=faults)


def _documents(ended: PytestEnded) -> list[dict[str, Any]]:
    if ended.error:
        raise ended.error
    found = [json.loads(text) for text in ended.calls]
    if not found and ended.lines and not ended.results:
        raise KscaffoldError(
            "KS653", f"pytest ended with {ended.status}", cause=ended.lines[-1], fix="kscaffold test"
        )
    return sorted(found, key=lambda document: str(document["test"]))


def _row(test: str, call: Call, usual: dict[str, Any], ended: PytestEnded) -> Row:
    """The row of a call that failed in a test. `usual`: what the test wrote when none did."""
    known = {(kind, text) for kind, text, _, _ in usual["wrong"]}
    seen = [one for d in _documents(ended) for one in d["wrong"] if (one[0], one[1]) not in known]
    late = any("did not end within" in result.text for result in ended.results)
    wrong = tuple(Wrong(text.removeprefix("BUG: "), where) for _, text, where, _ in seen)
    outcome: Outcome = "clean"
    if any(fatal for *_, fatal in seen):
        outcome = "crashed"
    elif late:
        outcome, wrong = "hung", (*wrong, Wrong("a call of the test's did not come back"))
    elif any(kind != "memory-leak" for kind, *_ in seen):
        outcome = "misused"
    elif seen:
        outcome = "leaked"
    file = usual["places"].get(call.site)
    place = SourceLine(*file) if file else None
    failed = next((r.text for r in ended.results if r.outcome != "passed"), None)
    returned = (failed.strip().splitlines() or [""])[-1] if failed else None
    return Row(call, place, outcome, returned, wrong, "", Path(test).name.partition("[")[0])
