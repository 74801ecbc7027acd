"""Load modules into a target and say what happened, from the evidence."""

import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from kscaffold import timing
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.power import ENDED
from kscaffold.diagnosis.verdict import Judgement, judge
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine, locate_complaints, with_source_line, with_stack
from kscaffold.load.assignment import assign, near_name, refused_value
from kscaffold.load.firmware import add_firmware, asked_for, give, missing_firmware
from kscaffold.load.gather import gather
from kscaffold.load.modprobe import Modprobe
from kscaffold.load.plan import LoadPlan
from kscaffold.load.prediction import Predictor, prediction_mismatch
from kscaffold.load.report import NO_LOG, LoadReport
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from kscaffold.records import replace
from kscaffold.targets.target import Target

if TYPE_CHECKING:
    from kscaffold.load.leftovers import Leftovers, LiveLeftovers

# A kernel of which no other load can be asked.
_OVER = ("crashed", "hung", "lost")


def load(
    ko: ModuleFile,
    parameters: Parameters,
    target: Target,
    *,
    timeout: float,
    seconds: dict[str, float] | None = None,
    predictor: Predictor | None = None,
) -> LoadReport:
    """Load `ko` once; `timeout` in seconds.

    `predictor`: warns of what the kernel will refuse, and is held against its answer; its kernel's files
    help to explain a failure. Raises KscaffoldError when the target can't be asked or can't take the file.
    """
    began, name = time.monotonic(), ko.module
    predicted = predictor.before(ko, parameters, target) if predictor else None
    timing.reached("the target is asked what is loaded")
    attempt = target.load(ko, parameters, timeout)
    timing.reached(f"{name} is loaded")
    evidence = gather(ko, attempt, target, predictor.kernel if predictor else None, plain=not parameters)
    spent = {"build": 0.0, "start": 0.0, **(seconds or {}), "load": attempt.seconds}
    spent["total"] = spent["build"] + spent["start"] + time.monotonic() - began
    judgement = judge(evidence)
    judgement, place = _with_lines(judgement, evidence, ko)
    cause = judgement.cause
    timing.reached("the evidence is judged")
    note = attempt.note or (None if attempt.records is not None else NO_LOG)
    if judgement.verdict == "lost" and attempt.note:
        cause, note = attempt.note, None  # the target knows more than that nothing came back
    fix = _with_arguments(judgement.fix, parameters)
    if target.kind == "sandbox" and (missing := missing_firmware(attempt.log)):
        if judgement.verdict == "init-failed":
            cause, fix = f"{cause}; {asked_for(name, missing)}", give(missing)
        else:
            note = "; ".join(filter(None, (note, f"{asked_for(name, missing)}: {give(missing)}")))
    cause, fix = _of_the_file(judgement, attempt, parameters, ko) or (cause, fix)
    if judgement.code == "KS232" and target.as_user:
        cause = "an ordinary user (uid 65534) lacks CAP_SYS_MODULE, and init did not run"
        fix = "leave out --as-user: then root loads it"
    judgement = replace(judgement, cause=cause, fix=fix)
    return LoadReport(
        module=name,
        file=ko,
        parameters=parameters,
        target=target.kind,
        kernel=target.release,
        arch=target.arch,
        judgement=judgement,
        log=attempt.log,
        seconds=spent,
        accelerator=target.accelerator,
        note=note,
        stack=attempt.stack,
        place=place,
        prediction_mismatch=prediction_mismatch(predicted, judgement),
        timeline=evidence.timeline,
        requests=attempt.requests,
        as_user=target.as_user,
    )


def _with_lines(
    judgement: Judgement, evidence: Evidence, ko: ModuleFile
) -> tuple[Judgement, SourceLine | None]:
    """The judgement with lines of source in it, and the first of them."""
    attempt = evidence.attempt
    complaints, place = locate_complaints(judgement.complaints, ko.module, ko, attempt.log)
    cause = with_source_line(judgement.cause, judgement.complaints, complaints)
    cause, place = with_stack(cause, place, attempt.stack, ko)
    if judgement.code in ENDED:
        from kscaffold.load.ending import with_ending_call  # start-up time: few kernels end of a load

        cause, place = with_ending_call(cause, attempt, ko, evidence.resets)
    return replace(judgement, complaints=complaints, cause=cause), place


def _of_the_file(
    judgement: Judgement, attempt: Attempt, parameters: Parameters, ko: ModuleFile
) -> tuple[str | None, str] | None:
    """Cause and fix where a parameter or a namespace was not taken, by what the .ko says of itself."""
    if judgement.code == "KS223":
        return judgement.cause, near_name(judgement.warnings[0].groups["parameter"], ko)
    if judgement.code in ("KS221", "KS222"):
        return refused_value("\n".join(r.text for r in attempt.log), parameters, ko)
    if judgement.code == "KS207" and judgement.cause:
        quoted = next(
            (n for n in ko.kofile().infos("import_ns") if n.strip('"') in judgement.cause.split()), ""
        )
        if quoted.startswith('"'):  # the headers of 6.12 and before take them for a part of the name
            return (
                f"{judgement.cause}, and it imports {quoted}, quotes and all",
                f"MODULE_IMPORT_NS({quoted[1:-1]});",
            )
    return None


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
    plan: LoadPlan,
    target: Target,
    *,
    timeout: float,
    predictor: Predictor | None,
    seconds: Mapping[str, float],
    on_report: Callable[[LoadReport], None],
    leftovers: "Leftovers | LiveLeftovers | None" = None,
) -> list[LoadReport]:
    """Load `plan.kos` in order; what they need and is not loaded yet is loaded before them, without
    parameters, and named in their reports; where that fails, its own report is the answer.

    Where one is not loaded the others are tried all the same, but for those that need it: its report's note
    names them. A kernel that crashed, hung or is lost is given no more modules. `timeout` of each load and
    `seconds` spent so far in seconds. `on_report` gets each report, `leftovers` hears of each load
    before it is made, and adds to the report of one that failed.
    """
    add_firmware(plan.firmware, target)
    reports: list[LoadReport] = []
    if predictor:
        target.modprobe = Modprobe([ko.path.absolute().parent for ko in plan.kos], predictor.kernel)
    given = assign(plan.parameters, plan.kos)
    skipped: set[str] = set()  # by the kernel's names

    def one(ko: ModuleFile, parameters: Parameters) -> LoadReport:
        return load(ko, parameters, target, timeout=timeout, seconds=dict(seconds), predictor=predictor)

    for ko in plan.kos:
        if ko.module in skipped:
            continue
        loaded: list[str] = []
        report: LoadReport | None = None
        for needed in plan.needs.get(ko.path, ()):
            if any(m.name == needed.module for m in target.modules()):
                continue
            first = one(needed, NO_PARAMETERS)
            loaded.append(first.module)
            if not first.ok:
                report = first
                break
        if report is None:
            if leftovers:
                leftovers.before_load(loaded)
            report = replace(one(ko, given[ko.module]), dependencies=tuple(loaded))
        if not report.ok:
            report = _without(report, plan, skipped)
            report = leftovers.of_failed_load(report) if leftovers else report
        if report.judgement.verdict == "crashed":
            report = _of_another(report, plan)
        reports.append(report)
        on_report(report)
        if report.judgement.verdict in _OVER:
            break
    return reports


def _of_another(report: LoadReport, plan: LoadPlan) -> LoadReport:
    """The report on a load during which the kernel crashed, perhaps in another module of the plan's, or in
    one that the project loaded before.
    """
    from kscaffold.load.blame import of_another  # start-up time: few loads crash
    from kscaffold.load.live_crash import modules_beside

    needed = chain.from_iterable(plan.needs.values())
    return of_another(report, chain(plan.kos, needed, modules_beside(plan.home)))


def _without(report: LoadReport, plan: LoadPlan, skipped: set[str]) -> LoadReport:
    """The report on a module that was not loaded, with the names of those that are not tried without it."""
    missing = {report.module}
    for ko in plan.kos:  # in the order in which each finds what it needs
        needs = {*quick.depends(ko), *(n.module for n in plan.needs.get(ko.path, ()))}
        if ko.module != report.module and needs & missing:
            missing.add(ko.module)
    left = sorted(missing - {report.module} - skipped)
    skipped |= set(left)
    if not left or report.judgement.verdict in _OVER:
        return report
    left_out = f"not tried, for want of {report.module}: {', '.join(left)}"
    return replace(report, note=f"{report.note}; {left_out}" if report.note else left_out)
