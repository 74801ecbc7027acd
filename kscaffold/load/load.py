"""Load modules into a target and say what happened, from the evidence."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kscaffold import timing
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import locate_complaints, with_source_line
from kscaffold.load.assignment import assign, near_name
from kscaffold.load.gather import gather
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor, prediction_mismatch
from kscaffold.load.report import NO_LOG, LoadReport
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from kscaffold.targets.target import Target


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
    note = attempt.note or (None if attempt.records is not None else NO_LOG)
    if judgement.verdict == "lost" and attempt.note:
        cause, note = attempt.note, None  # the target knows more than that nothing came back
    fix = _with_arguments(judgement.fix, parameters)
    if judgement.code == "KS223":
        fix = near_name(judgement.warnings[0].groups["parameter"], ko)
    judgement = replace(judgement, complaints=complaints, cause=cause, fix=fix)
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


def _with_arguments(fix: str | None, parameters: Parameters) -> str | None:
    """The fix with the parameters that this load had, as a shell takes them."""
    if fix is None or not parameters:
        return fix
    import shlex  # start-up time: a load that went well has no fix

    pairs = (word.partition("=") for word in parameters.words)
    words = (f"{n}{equals}{_unquoted(value)}" for n, equals, value in pairs)
    return fix.replace("kscaffold reload", f"kscaffold reload {shlex.join(words)}")


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if quoted else value


def load_all(
    jobs: LoadPlan,
    target: Target,
    *,
    timeout: float,
    outlook: Predictor | None,
    seconds: Mapping[str, float],
    tell: Callable[[LoadReport], None],
    ready: Callable[[Sequence[str]], None] = lambda needed: None,
) -> list[LoadReport]:
    """Load `jobs.kos` in order until one is not loaded. What they need and is not loaded yet is loaded before
    them, without parameters, and named in their reports; where that fails, its own report is the answer.

    `timeout` of each load and `seconds` spent so far in seconds. `tell` hears of each report, `ready` before
    each load of the modules that were loaded for it.
    """
    reports: list[LoadReport] = []
    given = assign(jobs.parameters, jobs.kos)
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
        ready(loaded)
        report = load(ko, given[ko.module], target, timeout=timeout, seconds=dict(seconds), outlook=outlook)
        report = replace(report, dependencies=tuple(loaded))
        reports.append(report)
        tell(report)
        if not report.ok:
            break
    return reports
