"""The verdict on a load, from its evidence: the errno, this load's log records and the trace, together.

errno alone misleads (an init that returns -1 looks like a permission problem), the log alone can be
written by the module, the trace alone does not say why. Where they agree the answer is certain.
"""

from typing import Literal

from kscaffold import lazy
from kscaffold.diagnosis import catalogue, crash, errnos, log_causes, power
from kscaffold.diagnosis.catalogue import CatalogueMatch
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.errno_causes import Reason, reason
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.trace import StageTime, stages_of
from kscaffold.records import dataclass, replace

Verdict = Literal["loaded", "refused", "init-failed", "crashed", "hung", "lost"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer. `certain`: proven, not only likely. `errno`: a name or `errno N`, None for success or
    where there was none. `warnings`: entries that apply to a load that went well (a parameter that was
    ignored, a positive return).
    """

    verdict: Verdict
    stage: str | None
    errno: str | None
    init_ran: bool | None
    returned: int | None
    code: str | None
    cause: str | None
    fix: str | None
    certain: bool
    complaints: tuple[Complaint, ...]
    stages: tuple[StageTime, ...]
    warnings: tuple[CatalogueMatch, ...] = ()


def judge(e: Evidence) -> Judgement:
    """The verdict on a load. Success needs proof: without the target's own answer there is none."""
    judgement = _judge(e)
    sure = judgement.certain or e.timeline
    # Where the stage to blame is only likely, nothing is known of the others.
    stages = (
        s if sure or s.status == "failed" else replace(s, status="unobserved") for s in judgement.stages
    )
    return replace(judgement, stages=tuple(stages))


def _judge(e: Evidence) -> Judgement:
    found = crash.complaints_of_call(e.attempt, e.module, e.tainted)
    fatal = next((c for c in found if c.fatal), None)
    if fatal is not None or _was_reset(e) or _died_in_init(e) or power.told_to_end(e.attempt):
        return _crashed(e, found, fatal)
    if e.attempt.answered and e.attempt.errno == 0:
        return _loaded(e, found)
    if e.attempt.answered and e.attempt.errno is not None:
        return _failed(e, found)
    if e.attempt.alive and e.attempt.late:
        return _hung(e, found)
    return _plain(e, found, "lost", None, "KS267", certain=False)


def _was_reset(e: Evidence) -> bool:
    """Whether the machine reset itself by this load: what came before it is not this module's."""
    return e.attempt.reset and e.attempt.begun


def _died_in_init(e: Evidence) -> bool:
    """The loading task was killed and the module never got further: only a crash leaves that behind."""
    return e.attempt.killed_by is not None and e.state_after == "Loading" and not e.attempt.late


def _init_ran(e: Evidence) -> bool | None:
    """Whether init was called, by the trace first."""
    if e.timeline is not None and e.timeline.init_ran is not None:
        return e.timeline.init_ran
    if e.init_started is None and any(
        _said_by_initcall_debug(e, r.text) for r in e.attempt.log if r.level == "debug"
    ):
        return True
    return e.init_started


# With initcall_debug on the command line, do_one_initcall() says this before and after each init.
_INITCALL = lazy.pattern(
    r"(?:calling  |initcall )\S{1,300} \[(?P<module>[\w-]{1,64})\] (?:@ \d+|returned -?\d+ after)"
)


def _said_by_initcall_debug(e: Evidence, text: str) -> bool:
    found = _INITCALL.match(text[:512])
    return found is not None and found["module"] == e.module


def _returned(e: Evidence) -> int | None:
    """What init returned, where the trace saw it."""
    return e.timeline.returned if e.timeline else None


def _crashed(e: Evidence, found: tuple[Complaint, ...], fatal: Complaint | None) -> Judgement:
    origin = crash.origin_of(fatal, found, e.module) if fatal else None
    kind = origin.meaning if origin else "reset" if _was_reset(e) else "oops"
    entry = catalogue.entry_of_complaint(kind)
    stage, ran = _stage_of_crash(e), _init_ran(e)
    if ran is None and stage == "live":
        ran = e.has_init
    elif ran is None and stage == "init" and fatal is not None and fatal.module == e.module:
        ran = True
    cause = "the task that loaded was killed, and the module is still loading"
    if origin and fatal:
        cause = crash.cause_of_crash(fatal, origin)
    elif _was_reset(e):
        cause = "the processor reset while the module was loading, and the kernel could say nothing"
        cause += power.likely_reset(e.resets)
    fix = entry.fix if entry else None
    ended = power.told_to_end(e.attempt) if fatal is None else None
    if ended:
        entry = catalogue.entry("KS619")
        assert entry is not None
        cause, fix = catalogue.filled(entry.cause, ended), catalogue.filled(entry.fix, ended)
    is_live = stage == "live"
    return Judgement(
        verdict="crashed",
        stage=stage,
        errno=_name(e.attempt.errno),
        init_ran=ran,
        returned=_returned(e),
        code=entry.code if entry else None,
        cause=cause,
        fix=fix,
        certain=fatal is not None or _was_reset(e) or ended is not None or e.state_after == "Loading",
        complaints=found,
        stages=_stages(e, failed=None if is_live else stage, reached="live" if is_live else None),
    )


def _stage_of_crash(e: Evidence) -> str | None:
    """The stage that a crash came in: `live` where the load itself went well, and the module crashed after
    its init or beside it. None: not known.
    """
    if e.attempt.answered and e.attempt.errno == 0:
        return "live"
    stage, ran = _reached(e), _init_ran(e)
    return "init" if ran or stage == "live" or (stage is None and ran is None) else stage


# What a load that went well can still be warned of.
_WARNINGS = frozenset({"KS202", "KS223", "KS264"})


def _loaded(e: Evidence, found: tuple[Complaint, ...]) -> Judgement:
    warnings = _warnings(e)
    ran = _init_ran(e)
    if ran is None:
        ran = e.has_init
    returned = _returned(e)
    positive = next((f for f in warnings if f.entry.code == "KS202"), None)
    if returned is None and ran:
        # The kernel warns of every positive number, so silence means 0.
        said = positive.groups.get("returned", "") if positive else "0"
        returned = int(said) if said.isdecimal() else None
    if returned == 0:
        # A module that prints the kernel's own words.
        warnings = tuple(f for f in warnings if f.entry.code != "KS202")
    code, cause, fix = _of_warnings(warnings, found)
    return Judgement(
        verdict="loaded",
        stage="live",
        errno=None,
        init_ran=ran,
        returned=returned if ran else None,
        code=code,
        cause=cause,
        fix=fix,
        certain=True,
        complaints=found,
        stages=_stages(e, failed=None, reached="live"),
        warnings=warnings,
    )


def _warnings(e: Evidence) -> tuple[CatalogueMatch, ...]:
    """The warnings in the log of a load. Without a line above `notice` the catalogue is not read (30 ms)."""
    said = [r for r in e.attempt.log if r.level not in ("notice", "info", "debug") and "taint" not in r.text]
    if not said:
        return ()
    found = (f for f in catalogue.match(said, "2") if f.entry.code in _WARNINGS)
    return tuple(f for f in found if log_causes.names(f, e.module))


def _of_warnings(
    warnings: tuple[CatalogueMatch, ...], found: tuple[Complaint, ...]
) -> tuple[str | None, str | None, str | None]:
    """Code, cause and fix of the first thing a good load is to be warned of."""
    if warnings:
        return warnings[0].entry.code, warnings[0].cause, warnings[0].fix
    for complaint in found:
        if entry := catalogue.entry_of_complaint(complaint.meaning):
            return entry.code, complaint.summary, entry.fix
    return None, None, None


# Errors that come from the kernel's loader far more often than from an init, where no log tells them apart.
_VAGUE = {"ENOEXEC": "KS282", "ENOENT": "KS284", "EINVAL": "KS285"}


def _failed(e: Evidence, found: tuple[Complaint, ...]) -> Judgement:
    errno = e.attempt.errno or 0
    if errno == 0:
        raise ValueError("a failed load has an errno")
    name = errnos.name(errno) or f"errno {errno}"
    ran = _init_ran(e)
    if ran:
        return _init_failed(e, found, name, certain=True)
    lines = log_causes.matching_lines(e, name)
    if lines:
        line = lines[-1]
        # Where init may have run, it may have printed the line itself: likely, not proven.
        return _refused(e, found, name, log_causes.cause_of_line(e, line), certain=ran is False)
    why = reason(e, name)
    if why is not None:
        return _refused(e, found, name, why, certain=why.certain)
    if e.attempt.records is None and (vague := _VAGUE.get(name)):
        fix = "load it in the sandbox, which sees all of it; or: sudo dmesg | kscaffold explain"
        return _refused(e, found, name, Reason(vague, certain=False, fix=fix), certain=False)
    if ran is None and e.timeline is None:
        # Nothing but init fails with this and without a word.
        return _init_failed(e, found, name, certain=False)
    return _refused(e, found, name, Reason("KS245", _reached(e), certain=False), certain=False)


def _init_failed(e: Evidence, found: tuple[Complaint, ...], name: str, *, certain: bool) -> Judgement:
    entry = catalogue.entry("KS201")
    assert entry is not None
    returned = _returned(e)
    if returned is None:
        returned = -(e.attempt.errno or 0)
    number = errnos.name(returned)
    said = f"{returned} (-{number})" if number else str(returned)
    fix = entry.fix
    leftovers = [f for f in _warnings(e) if f.entry.code == "KS264"]
    cause = f"init returned {said}"
    missing = _missing_requests(e)
    if number and number != name and certain:
        # Linux 7.0 and later, of -EEXIST: modprobe takes that for "loaded already", and so for success.
        cause += f", which this kernel tells as {name}"
    code = "KS201"
    if missing:
        asked = f"{', '.join(missing)} (request_module)"
        cause += f", and had asked for {asked}, which neither the project nor the kernel has"
        code, fix = "KS299", _of("KS299").fix
    elif leftovers:
        cause += f"; {leftovers[0].cause}"
        code, fix = "KS264", leftovers[0].fix
    elif of_call := _said_of_a_call(e):
        cause += f"; {of_call.cause}"
        code, fix = of_call.entry.code, of_call.fix
    elif e.looked_for:
        calls = ", ".join(f"{what} ({call})" for call, what in e.looked_for[:3])
        cause += f": it looks for {calls}, and this machine has none"
        code, fix = "KS200", _of("KS200").fix
    elif e.not_given and name == "EINVAL":
        cause += f"; it was given none of its parameters ({', '.join(e.not_given[:6])})"
        fix = "kscaffold info lists what it takes; give what it can't do without: kscaffold load NAME=VALUE"
    elif returned != -1:
        fix = "look at the last line init printed, and at the call in it that can fail with this"
    return Judgement(
        verdict="init-failed",
        stage="init",
        errno=name,
        init_ran=True if certain else None,
        returned=returned if certain else None,
        code=code,
        cause=cause if certain else f"probably {cause}: nothing else fails so without a line in the log",
        fix=fix,
        certain=certain,
        complaints=found,
        stages=_stages(e, failed="init", reached=None),
    )


def _said_of_a_call(e: Evidence) -> CatalogueMatch | None:
    """What the kernel said last of a call that init made, where that is known to mean something."""
    said = [r for r in e.attempt.log if r.facility == 0 and r.level not in ("notice", "info", "debug")]
    matched = catalogue.match(said, "3") if said else []
    known = [f for f in matched if not f.entry.noise and not f.entry.vague and f.entry.stage is None]
    return next((f for f in reversed(known) if log_causes.names(f, e.module)), None)


def _missing_requests(e: Evidence) -> list[str]:
    """The modules that the kernel asked modprobe for in vain. The kernel asks for a cipher as
    `crypto-NAME`, then always as `crypto-NAME-all`: that the second is missing means nothing where the
    first was found.
    """
    found = {r.name for r in e.attempt.requests if r.modules is not None}
    names = (r.name for r in e.attempt.requests if r.name not in found)
    return list(dict.fromkeys(n for n in names if n.removesuffix("-all") not in found))


def _of(code: str) -> catalogue.Entry:
    entry = catalogue.entry(code)
    assert entry is not None, code
    return entry


def _refused(
    e: Evidence, found: tuple[Complaint, ...], name: str, why: Reason, *, certain: bool
) -> Judgement:
    entry = catalogue.entry(why.code)
    assert entry is not None, why.code
    stage = why.stage or entry.stage
    groups = {"module": e.module, **why.groups}
    cause = why.cause or (entry.cause if catalogue.is_filled(entry.cause, groups) else entry.title)
    return Judgement(
        verdict="refused",
        stage=stage,
        errno=name,
        init_ran=False if certain or _init_ran(e) is False else None,
        returned=None,
        code=why.code,
        cause=catalogue.filled(cause, groups),
        fix=why.fix or catalogue.filled(entry.fix, groups),
        certain=certain,
        complaints=found,
        stages=_stages(e, failed=stage, reached=None),
    )


# What a kernel may never recover from.
_STOPS = ("atomic", "locking", "memory", "init-state")


def _hung(e: Evidence, found: tuple[Complaint, ...]) -> Judgement:
    if (returned := _returned(e)) is not None:
        judgement = _plain(e, found, "hung", _reached(e), "KS267", certain=False)
        cause = f"init returned {returned}, and the kernel did not come back from the load"
        return replace(judgement, cause=cause)
    before = e.state_before in ("Loading", "Unloading")
    stuck = next((c for c in found if c.kind in ("soft-lockup", "hung-task", "rcu-stall")), None)
    ran = _init_ran(e)
    if before and not ran:
        return _plain(e, found, "hung", "list", "KS261", certain=True)
    if not stuck and (broken := next((c for c in found if c.kind in _STOPS), None)):
        entry = catalogue.entry_of_complaint(broken.meaning)
        judgement = _plain(e, found, "hung", _reached(e), entry.code if entry else "KS267", certain=False)
        return replace(
            judgement, cause=f"{broken.summary}; the kernel did not come back from the load after it"
        )
    where = f" ({stuck.summary})" if stuck else ""
    certain = bool(ran) or (stuck is not None and stuck.module == e.module)
    stage = "init" if certain or ran is None else _reached(e)
    return _plain(e, found, "hung", stage, "KS260", certain=certain, more=where)


def _plain(
    e: Evidence,
    found: tuple[Complaint, ...],
    verdict: Verdict,
    stage: str | None,
    code: str,
    *,
    certain: bool,
    more: str = "",
) -> Judgement:
    entry = catalogue.entry(code)
    assert entry is not None, code
    ran = _init_ran(e)
    if ran is None and stage == "init" and certain:
        ran = True
    return Judgement(
        verdict=verdict,
        stage=stage,
        errno=None,
        init_ran=ran,
        returned=_returned(e),
        code=code,
        cause=catalogue.filled(entry.cause, {"module": e.module}) + more,
        fix=catalogue.filled(entry.fix, {"module": e.module}),
        certain=certain,
        complaints=found,
        stages=_stages(e, failed=stage, reached=_reached(e)),
    )


def _reached(e: Evidence) -> str | None:
    return e.timeline.reached if e.timeline else None


def _name(errno: int | None) -> str | None:
    return (errnos.name(errno) or f"errno {errno}") if errno else None


def _stages(e: Evidence, *, failed: str | None, reached: str | None) -> tuple[StageTime, ...]:
    return stages_of(reached, failed, e.timeline.microseconds if e.timeline else {})
