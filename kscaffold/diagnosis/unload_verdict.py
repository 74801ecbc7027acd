"""The verdict on an unload. When the kernel refuses it prints nothing: errno and /proc/modules tell why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kscaffold.diagnosis import catalogue, crash, errnos
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record


@dataclass(frozen=True, slots=True)
class UnloadEvidence:
    """What is known of one unload. None: not known.

    `errno`: what delete_module returned, positive, 0 for success. `answered`, `alive`, `reset`, `late`,
    `killed_by`, `records`: as in evidence.Evidence. From /proc/modules before the attempt: `users` (modules
    that use this one), `count` (references), `state` (Live, Loading, Unloading; None: not in the list),
    `permanent` (no exit function). `listed`: the name is in the list afterwards.
    `modules_disabled`: kernel.modules_disabled is 1. `tainted`: as in evidence.Evidence.
    """

    module: str
    errno: int | None = None
    answered: bool = True
    alive: bool = True
    reset: bool = False
    late: bool = False
    killed_by: int | None = None
    records: Sequence[Record] = ()
    users: Sequence[str] = ()
    count: int | None = None
    state: str | None = None
    permanent: bool | None = None
    listed: bool | None = None
    builtin: bool = False
    modules_disabled: bool | None = None
    tainted: int | None = None


@dataclass(frozen=True, slots=True)
class UnloadJudgement:
    """The answer. `errno`: a name, None for success. `complaints`: the kernel's own while exit ran."""

    verdict: Literal["unloaded", "refused", "crashed", "hung", "lost"]
    errno: str | None
    code: str | None
    cause: str | None
    fix: str | None
    certain: bool
    complaints: tuple[Complaint, ...]


def judge_unload(e: UnloadEvidence) -> UnloadJudgement:
    """The verdict on an unload. Success needs the target's own answer."""
    found = tuple(crash.complaints(e.records, e.module))
    if e.answered or e.killed_by is not None:
        found = crash.harmless_complaints(found, e.tainted)
    fatal = next((c for c in found if c.fatal), None)
    if fatal is not None:
        return _told(e, "crashed", "KS308", found, cause=fatal.told)
    if e.reset:
        return _told(e, "crashed", "KS268", found, cause="the processor reset while exit ran")
    if e.killed_by is not None and e.state == "Unloading" and not e.late:
        cause = "the task that unloaded was killed, and the module is still unloading"
        return _told(e, "crashed", "KS308", found, cause=cause)
    if e.answered and e.errno == 0:
        return _unloaded(e, found)
    if e.answered and e.errno is not None:
        # What may be asked of the kernel is asked in this order: the privilege, then the switch.
        switch = "kernel.modules_disabled is 1, and stays so until the kernel starts anew"
        return _told(e, "refused", _why(e), found, cause=switch if _is_off(e) else None)
    if e.alive and e.late:
        return _told(e, "hung", "KS309", found)
    return _told(e, "lost", "KS314", found, certain=False)


def _unloaded(e: UnloadEvidence, found: tuple[Complaint, ...]) -> UnloadJudgement:
    """It is gone; what exit leaves behind or did wrong the kernel tells as a warning or worse."""
    # Most logs have none, which saves reading the catalogue.
    said = [r for r in e.records if r.level not in ("notice", "info", "debug")]
    left = [f for f in catalogue.match(said, "3") if f.entry.code == "KS312"] if said else []
    if left:
        return UnloadJudgement("unloaded", None, "KS312", left[0].cause, left[0].fix, True, found)
    for complaint in found:
        if entry := catalogue.entry_of_complaint(complaint.meaning):
            return UnloadJudgement("unloaded", None, entry.code, complaint.told, entry.fix, True, found)
    return UnloadJudgement("unloaded", None, None, None, None, True, found)


def _why(e: UnloadEvidence) -> str:
    name = errnos.name(e.errno or 0)
    if name == "ENOENT":
        return "KS311" if e.builtin else "KS301"
    if name == "EAGAIN":
        return "KS302" if e.users else "KS303"
    if name == "EBUSY":
        # The kernel asks in this order: a state other than live, then the missing exit.
        by_state = {"Loading": "KS305", "Unloading": "KS306"}
        return by_state.get(e.state or "") or ("KS304" if e.permanent is not False else "KS313")
    return {"EPERM": "KS307", "ENOSYS": "KS310"}.get(name or "", "KS313")


def _is_off(e: UnloadEvidence) -> bool:
    return errnos.name(e.errno or 0) == "EPERM" and bool(e.modules_disabled)


def _told(
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
    # A reference of each user is part of the count.
    others = e.count - len(e.users) if e.count is not None else None
    groups = {
        "module": e.module,
        "users": ", ".join(e.users),
        "count": str(others) if others is not None else "at least one",
    }
    return UnloadJudgement(
        verdict,
        (errnos.name(e.errno) or f"errno {e.errno}") if e.errno else None,
        code,
        cause or catalogue.filled(entry.cause, groups),
        catalogue.filled(entry.fix, groups),
        certain and code != "KS313",
        found,
    )
