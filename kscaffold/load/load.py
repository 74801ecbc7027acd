"""Load one module into a target and say what happened, from the evidence."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kscaffold.diagnosis import trace
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.verdict import judge
from kscaffold.errors import KscaffoldError
from kscaffold.load.report import LoadReport
from kscaffold.module.quick import module_name
from kscaffold.target.base import Attempt, Facts, Listed, Target

_NO_LOG = "this user may not read the kernel's log; kscaffold logs --host asks for the right"


def load(
    ko: Path, parameters: str, target: Target, *, timeout: float, seconds: dict[str, float] | None = None
) -> LoadReport:
    """Load `ko` once; `parameters` in the kernel's syntax, `timeout` in seconds.

    Raises KscaffoldError when the target can't be asked or the file can't be read.
    """
    began = time.monotonic()
    if not ko.is_file():
        raise KscaffoldError("KS281", f"{ko} is not there", fix="kscaffold build")
    name = module_name(ko)
    attempt = target.load(ko, parameters, timeout)
    evidence = gather(name, ko, attempt, target)
    spent = {"build": 0.0, "start": 0.0, **(seconds or {}), "load": attempt.seconds}
    spent["total"] = spent["build"] + spent["start"] + time.monotonic() - began
    return LoadReport(
        module=name,
        path=ko,
        parameters=parameters,
        target=target.kind,
        kernel=target.release,
        judgement=judge(evidence),
        log=attempt.records or (),
        seconds=spent,
        accelerator=target.accelerator,
        note=attempt.note or (None if attempt.records is not None else _NO_LOG),
        stack=attempt.stack,
    )


def gather(name: str, ko: Path, attempt: Attempt, target: Target) -> Evidence:
    """The evidence of an attempt. What only a failure needs is looked up only then."""
    evidence = Evidence(
        module=name,
        errno=attempt.errno,
        answered=attempt.answered,
        alive=attempt.alive,
        reset=attempt.reset,
        late=attempt.late,
        killed_by=attempt.killed_by,
        records=attempt.records or (),
        log_seen=attempt.records is not None,
        timeline=trace.timeline(trace.parse(attempt.trace)) if attempt.trace else None,
        cmdline=target.cmdline,
    )
    if attempt.errno == 0:
        return evidence
    evidence = replace(evidence, **{f: getattr(attempt.facts, f) for f in Facts.__slots__})
    if attempt.heard:
        evidence = _of_list(evidence, target)
    return _of_file(evidence, ko)


def _of_list(e: Evidence, target: Target) -> Evidence:
    """Whether a module of that name was there before: it still is, where this load was refused."""
    listed = _asked(target.modules)
    if listed is None:
        return e
    mine = next((m for m in listed if m.name == e.module), None)
    state = mine.state if mine else None
    refused = e.errno is not None and e.errno != 0
    before = state if refused else None
    return replace(e, state_after=state, state_before=before, loaded_before=before == "Live")


def _asked(ask: Callable[[], list[Listed]]) -> list[Listed] | None:
    try:
        return ask()
    except KscaffoldError:
        return None


def _of_file(e: Evidence, ko: Path) -> Evidence:
    """What the .ko itself says; nothing where it can't be read: the kernel's answer stands."""
    from kscaffold.module import kofile  # start-up time: a load that went well does not need it

    try:
        facts = kofile.read(ko)
    except KscaffoldError:
        return e
    return replace(e, has_init=facts.init is not None, signed=facts.signed)
