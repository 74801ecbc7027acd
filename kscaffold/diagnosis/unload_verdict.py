"""The verdict on an unload. When the kernel refuses it prints nothing: errno and /proc/modules tell why."""

from typing import Literal

from kscaffold.diagnosis import catalogue, crash, errnos
from kscaffold.diagnosis.attempt import NOT_KNOWN, Attempt, Facts, Listed
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.power import likely_reset, told_to_end
from kscaffold.records import dataclass, replace

When = Literal["before its exit ran", "while its exit ran", "after it was unloaded"]


@dataclass(frozen=True, slots=True)
class UnloadEvidence:
    """What is known of one unload. None: not known.

    `attempt`: what the target saw of the unload. `facts`: what its kernel says of itself, asked after a
    refusal that these can explain. `listed`: the module's line of /proc/modules after a failure; None where
    the module is not in the list, or nobody asked. `gone`: the module has left the list. `tainted`:
    kernel.tainted after the unload. `resets`: the call by which the module may have reset the machine.
    """

    module: str
    attempt: Attempt
    facts: Facts = NOT_KNOWN
    listed: Listed | None = None
    tainted: int | None = None
    gone: bool = False
    resets: str | None = None


@dataclass(frozen=True, slots=True)
class UnloadJudgement:
    """The answer. `errno`: a name, None for success. `complaints`: the kernel's own while exit ran. `when`: a
    kernel that did not outlive the unload ended.
    """

    verdict: Literal["unloaded", "refused", "crashed", "hung", "lost"]
    errno: str | None
    code: str | None
    cause: str | None
    fix: str | None
    certain: bool
    complaints: tuple[Complaint, ...]
    when: When = "while its exit ran"


# What the kernel says itself of what an exit waits for.
_WAITED_FOR = frozenset({"KS356"})


def judge_unload(e: UnloadEvidence) -> UnloadJudgement:
    """The verdict on an unload. Success needs the target's own answer."""
    seen = e.attempt
    found = crash.complaints_of_call(seen, e.module, e.tainted)
    fatal = next((c for c in found if c.fatal), None)
    if fatal is not None:
        origin = crash.origin_of(fatal, found, e.module)
        entry = catalogue.entry_of_complaint(origin.meaning) if origin is not fatal else None
        code, cause = entry.code if entry else "KS308", crash.cause_of_crash(fatal, origin)
        return _judgement(e, "crashed", code, found, cause=cause)
    if ended := told_to_end(seen):
        entry = catalogue.entry("KS619")
        assert entry is not None
        judgement = _judgement(e, "crashed", "KS619", found, cause=catalogue.filled(entry.cause, ended))
        return replace(judgement, fix=catalogue.filled(entry.fix, ended), when=_when(seen))
    if seen.reset:
        when = "while exit ran" if seen.begun else "after the load, before exit ran"
        cause = f"the processor reset {when}{likely_reset(e.resets)}"
        return replace(_judgement(e, "crashed", "KS268", found, cause=cause), when=_when(seen))
    if seen.killed_by is not None and not seen.late and e.listed and e.listed.state == "Unloading":
        cause = "the task that unloaded was killed, and the module is still unloading"
        return _judgement(e, "crashed", "KS308", found, cause=cause)
    if (seen.answered and seen.errno == 0) or (seen.late and e.gone):
        return _unloaded(e, found)
    if seen.answered and seen.errno is not None:
        # What may be asked of the kernel is asked in this order: the privilege, then the switch.
        switch = "kernel.modules_disabled is 1, and stays so until the kernel starts anew"
        return _judgement(e, "refused", _why(e), found, cause=switch if _is_off(e) else None)
    if seen.alive and seen.late:
        held = next((f for f in catalogue.match(seen.log, "3") if f.entry.code in _WAITED_FOR), None)
        judgement = _judgement(e, "hung", held.entry.code if held else "KS309", found)
        return replace(judgement, cause=held.cause, fix=held.fix) if held else judgement
    return _judgement(e, "lost", "KS314", found, certain=False)


def _when(seen: Attempt) -> When:
    return "while its exit ran" if seen.begun else "before its exit ran"


def _unloaded(e: UnloadEvidence, found: tuple[Complaint, ...]) -> UnloadJudgement:
    """The module is gone; what exit leaves behind or did wrong the kernel tells as a warning or worse."""
    code, cause, fix = _of_warnings(e, found)
    return UnloadJudgement(
        verdict="unloaded", errno=None, code=code, cause=cause, fix=fix, certain=True, complaints=found
    )


def _of_warnings(
    e: UnloadEvidence, found: tuple[Complaint, ...]
) -> tuple[str | None, str | None, str | None]:
    """Code, cause and fix of the first thing an unload that went well is to be warned of."""
    # Most logs have no warning, which saves reading the catalogue.
    said = [r for r in e.attempt.log if r.level not in ("notice", "info", "debug")]
    left = [f for f in catalogue.match(said, "3") if f.entry.code == "KS312"] if said else []
    if left:
        return "KS312", left[0].cause, left[0].fix
    for complaint in found:
        if entry := catalogue.entry_of_complaint(complaint.meaning):
            return entry.code, complaint.summary, entry.fix
    return None, None, None


def _why(e: UnloadEvidence) -> str:
    name = errnos.name(e.attempt.errno or 0)
    if name == "ENOENT":
        return "KS311" if e.facts.builtin else "KS301"
    if name == "EAGAIN":
        if e.listed and e.listed.used_by:
            return "KS302"
        return "KS389" if e.listed and "K" in e.listed.taints else "KS303"
    if name == "EBUSY":
        # The kernel asks in this order: a state other than live, then the missing exit.
        by_state = {"Loading": "KS305", "Unloading": "KS306"}
        state, stays = (e.listed.state, e.listed.permanent) if e.listed else ("", True)
        return by_state.get(state) or ("KS304" if stays else "KS313")
    return {"EPERM": "KS307", "ENOSYS": "KS310"}.get(name or "", "KS313")


def _is_off(e: UnloadEvidence) -> bool:
    return errnos.name(e.attempt.errno or 0) == "EPERM" and bool(e.facts.modules_disabled)


def _judgement(
    e: UnloadEvidence,
    verdict: Literal["refused", "crashed", "hung", "lost"],
    code: str,
    found: tuple[Complaint, ...],
    *,
    cause: str | None = None,
    certain: bool = True,
) -> UnloadJudgement:
    entry = catalogue.entry(code)
    assert entry is not None, code
    users, errno = e.listed.used_by if e.listed else (), e.attempt.errno
    groups = {
        "module": e.module,
        "users": ", ".join(users),
        # A reference of each user is part of the count.
        "count": str(e.listed.refcount - len(users)) if e.listed else "at least one",
    }
    return UnloadJudgement(
        verdict=verdict,
        errno=(errnos.name(errno) or f"errno {errno}") if errno else None,
        code=code,
        cause=cause or catalogue.filled(entry.cause, groups),
        fix=catalogue.filled(entry.fix, groups),
        certain=certain and code != "KS313",
        complaints=found,
    )
