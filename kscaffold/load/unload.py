"""Unload one module from a target, and say why when it stays."""

from dataclasses import dataclass

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.unloading import UnloadEvidence, UnloadJudgement, judge_unload
from kscaffold.project.project import kernel_name
from kscaffold.target.base import Target


@dataclass(frozen=True, slots=True)
class UnloadReport:
    """One module, unloaded or not. `seconds`: in the kernel."""

    module: str
    judgement: UnloadJudgement
    log: tuple[Record, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """It is gone."""
        return self.judgement.verdict == "unloaded"


def unload(name: str, target: Target, *, timeout: float) -> UnloadReport:
    """Unload a module. People type the file's name, with dashes or `.ko`: the kernel's name is meant."""
    module = kernel_name(name.rpartition("/")[2].removesuffix(".ko"))
    attempt = target.unload(module, timeout)
    mine = None
    if attempt.errno != 0 and attempt.heard:
        mine = next((m for m in target.modules() if m.name == module), None)
    evidence = UnloadEvidence(
        module=module,
        errno=attempt.errno,
        answered=attempt.answered,
        alive=attempt.alive,
        reset=attempt.reset,
        late=attempt.late,
        killed_by=attempt.killed_by,
        records=attempt.records or (),
        users=mine.used_by if mine else (),
        count=mine.refcount if mine else None,
        state=mine.state if mine else None,
        permanent=mine.permanent if mine else None,
        listed=mine is not None,
        builtin=bool(attempt.facts.builtin),
    )
    return UnloadReport(module, judge_unload(evidence), attempt.records or (), attempt.seconds)
