"""Load modules into a target and say what happened, from the evidence."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from kscaffold import timing
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import locate_complaints, with_source_line
from kscaffold.load.gather import gather
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor, prediction_mismatch
from kscaffold.load.report import LoadReport
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from kscaffold.targets.target import Target

_NO_LOG = "this user may not read the kernel's log; kscaffold logs --host asks for the right"


def load(
    ko: ModuleFile,
    parameters: Parameters,
    target: Target,
    *,
    timeout: float,
    seconds: dict[str, float] | None = None,
    outlook: Predictor | None = None,
) -> LoadReport:
    """Load `ko` once; `timeout` in seconds.

    `outlook`: warns of what the kernel will refuse, and is held against its answer; its kernel's files
    help to explain a failure.
    Raises KscaffoldError when the target can't be asked or can't take the file.
    """
    began, name = time.monotonic(), ko.module
    predicted = outlook.before(ko, parameters, target) if outlook else None
    timing.reached("the target is asked what is loaded")
    attempt = target.load(ko, parameters, timeout)
    timing.reached(f"{name} is loaded")
    evidence = gather(ko, attempt, target, outlook.kernel if outlook else None)
    spent = {"build": 0.0, "start": 0.0, **(seconds or {}), "load": attempt.seconds}
    spent["total"] = spent["build"] + spent["start"] + time.monotonic() - began
    judgement = judge(evidence)
    complaints, place = locate_complaints(judgement.complaints, name, ko, attempt.log)
    cause = with_source_line(judgement.cause, judgement.complaints, complaints)
    timing.reached("the evidence is judged")
    note = attempt.note or (None if attempt.records is not None else _NO_LOG)
    if judgement.verdict == "lost" and attempt.note:
        cause, note = attempt.note, None  # the target knows more than that nothing came back
    judgement = replace(judgement, complaints=complaints, cause=cause)
    return LoadReport(
        module=name,
        file=ko,
        parameters=parameters,
        target=target.kind,
        kernel=target.release,
        judgement=judgement,
        log=attempt.log,
        seconds=spent,
        accelerator=target.accelerator,
        note=note,
        stack=attempt.stack,
        place=place,
        prediction_mismatch=prediction_mismatch(predicted, judgement),
        timeline=evidence.timeline,
    )


def load_all(
    jobs: LoadPlan,
    target: Target,
    *,
    timeout: float,
    outlook: Predictor | None,
    seconds: Mapping[str, float],
    tell: Callable[[LoadReport], None],
) -> list[LoadReport]:
    """Load `jobs.kos` in order until one is not loaded. What they need and is not loaded yet is loaded before
    them, without parameters, and named in their reports; where that fails, its own report is the answer.

    `timeout` of each load and `seconds` spent so far in seconds. `tell` hears of each report.
    """
    reports: list[LoadReport] = []
    for ko in jobs.kos:
        loaded: list[str] = []
        for needed in jobs.needs.get(ko.path, ()):
            if any(m.name == needed.module for m in target.modules()):
                continue
            first = load(
                needed, NO_PARAMETERS, target, timeout=timeout, seconds=dict(seconds), outlook=outlook
            )
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
