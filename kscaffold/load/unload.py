"""Unload one module from a target, and say why when it stays."""

import errno
from dataclasses import dataclass, replace
from pathlib import Path

from kscaffold.diagnosis import crash
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.unloading import UnloadEvidence, UnloadJudgement, judge_unload
from kscaffold.load.evidence import of_guest, tainted
from kscaffold.load.source import Place, locate, retold
from kscaffold.project.project import kernel_name
from kscaffold.target.base import Target
from kscaffold.target.sandbox import SandboxTarget


@dataclass(frozen=True, slots=True)
class UnloadReport:
    """One module, unloaded or not. `seconds`: in the kernel. `place`: the line of source that the
    kernel's first complaint is about.
    """

    module: str
    judgement: UnloadJudgement
    log: tuple[Record, ...]
    seconds: float
    place: Place | None = None

    @property
    def ok(self) -> bool:
        """It is gone."""
        return self.judgement.verdict == "unloaded"


def unload(name: str, target: Target, *, timeout: float, ko: Path | None = None) -> UnloadReport:
    """Unload a module. People type the file's name, with dashes or `.ko`: the kernel's name is meant.

    `ko`: the file it is loaded from, to find the source of a crash.
    """
    module = kernel_name(name.rpartition("/")[2].removesuffix(".ko"))
    attempt = target.unload(module, timeout)
    mine, facts = None, attempt.facts
    records = attempt.records or ()
    # A task that crashed on the kernel's list of modules keeps it locked: who asks for it waits for ever.
    crashed = attempt.killed_by is not None and any(c.fatal for c in crash.complaints(records, module))
    if attempt.errno != 0 and attempt.heard and not crashed:
        mine = next((m for m in target.modules() if m.name == module), None)
        if attempt.errno in (errno.EPERM, errno.ENOENT) and isinstance(target, SandboxTarget):
            facts = of_guest(module, target)
    evidence = UnloadEvidence(
        module=module,
        errno=attempt.errno,
        answered=attempt.answered,
        alive=attempt.alive,
        reset=attempt.reset,
        late=attempt.late,
        killed_by=attempt.killed_by,
        records=records,
        users=mine.used_by if mine else (),
        count=mine.refcount if mine else None,
        state=mine.state if mine else None,
        permanent=mine.permanent if mine else None,
        listed=mine is not None,
        builtin=bool(facts.builtin),
        modules_disabled=facts.modules_disabled,
        tainted=tainted(attempt, target),
    )
    judgement, place = judge_unload(evidence), None
    if ko is not None and judgement.complaints:
        complaints, place = locate(judgement.complaints, module, ko, evidence.records)
        cause = retold(judgement.cause, judgement.complaints, complaints)
        judgement = replace(judgement, complaints=complaints, cause=cause)
    return UnloadReport(module, judgement, records, attempt.seconds, place)
