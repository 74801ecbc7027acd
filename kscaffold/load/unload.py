"""Unload one module from a target, and say why when it stays."""

import contextlib
import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path

from kscaffold.diagnosis import catalogue, crash
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, UnloadJudgement, judge_unload
from kscaffold.elf import quick
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.load.addr2line import SourceLine, locate_complaints, with_source_line
from kscaffold.load.after import dangling
from kscaffold.load.after.dangling import DanglingCallbacks
from kscaffold.load.gather import guest_facts, tainted
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Attempt, Target


@dataclass(frozen=True, slots=True)
class UnloadReport:
    """One module, unloaded or not. `seconds`: in the kernel. `place`: the line of source that the
    kernel's first complaint is about. `remains`: what it may have left running. `note`:
    what its log lacks.
    """

    module: str
    judgement: UnloadJudgement
    log: tuple[Record, ...]
    seconds: float
    place: SourceLine | None = None
    remains: DanglingCallbacks | None = None
    note: str | None = None

    @property
    def ok(self) -> bool:
        """It is gone."""
        return self.judgement.verdict == "unloaded"


def module_of_word(word: str) -> str:
    """The kernel's name of what was typed: a name, or a file's, with dashes or `.ko`."""
    return normalize_name(word.rpartition("/")[2].removesuffix(".ko"))


def unload(name: str, target: Target, *, timeout: float, ko: Path | None = None) -> UnloadReport:
    """Unload a module, by its name or its file's.

    `ko`: the file it is loaded from, to find the source of a crash.
    """
    module = module_of_word(name)
    if module in ("", ".", ".."):  # which are directories of /sys/module, too
        raise UsageError("KS089", f"{name!r} is not the name of a module", fix="kscaffold list")
    left = (
        dangling.find_dangling(ko, module, target)
        if ko is not None and isinstance(target, SandboxTarget)
        else None
    )
    attempt = target.unload(module, timeout)
    mine, facts, records = None, attempt.facts, attempt.records or ()
    # A task that crashed on the kernel's list of modules keeps it locked: who asks for it waits for ever.
    crashed = attempt.killed_by is not None and any(c.fatal for c in crash.complaints(records, module))
    if attempt.errno != 0 and attempt.heard and not crashed:
        mine = next((m for m in target.modules() if m.name == module), None)
        if attempt.errno in (errno.EPERM, errno.ENOENT) and isinstance(target, SandboxTarget):
            facts = guest_facts(module, target)
    evidence = UnloadEvidence(
        module=module,
        errno=attempt.errno,
        answered=attempt.answered,
        alive=attempt.alive,
        reset=attempt.reset,
        late=attempt.late,
        killed_by=attempt.killed_by,
        records=left.symbolize(records) if left else records,
        users=mine.used_by if mine else (),
        count=mine.refcount if mine else None,
        state=mine.state if mine else None,
        permanent=mine.permanent if mine else None,
        listed=mine is not None,
        builtin=bool(facts.builtin),
        modules_disabled=facts.modules_disabled,
        tainted=tainted(attempt, target),
    )
    judgement, place = _placed(judge_unload(evidence), module, ko, evidence.records)
    if left and judgement.verdict == "crashed" and (gone := left.freed_address(records)):
        # Exit had ended: what is there while it runs can't be missing.
        judgement = _left_behind(judgement, module, left, place, gone)
    return UnloadReport(module, judgement, records, attempt.seconds, place, left, attempt.note)


def _placed(
    judgement: UnloadJudgement, module: str, ko: Path | None, records: Sequence[Record]
) -> tuple[UnloadJudgement, SourceLine | None]:
    """The judgement with lines of source in it, and the first of them."""
    if ko is None or not judgement.complaints:
        return judgement, None
    complaints, place = locate_complaints(judgement.complaints, module, ko, records)
    cause = with_source_line(judgement.cause, judgement.complaints, complaints)
    return replace(judgement, complaints=complaints, cause=cause), place


def watch_after_unload(
    reports: Sequence[UnloadReport], target: Target, seconds: float | None = None
) -> list[UnloadReport]:
    """The same reports, after the kernel was watched for what these modules may have left running: for as
    long as their imports suggest, or so many seconds. The last one it can have been is `crashed` then.
    """
    wait = max((r.remains.seconds for r in reports if r.remains), default=0.0) if seconds is None else seconds
    if not wait or not isinstance(target, SandboxTarget) or not all(r.ok for r in reports):
        return list(reports)
    seen = target.watch(wait)
    if seen.errno == 0:
        return list(reports)
    told = [_of_watch(r, seen) for r in reports]
    # Whose code or variables the kernel missed; else the last that may have left something, else the last.
    sure = [i for i, r in enumerate(reports) if r.remains and r.remains.freed_address(seen.records or ())]
    guilty = sure or [i for i, r in enumerate(reports) if r.remains] or [len(reports) - 1]
    return [told[i] if i == guilty[-1] else r for i, r in enumerate(reports)]


def _of_watch(report: UnloadReport, seen: Attempt) -> UnloadReport:
    """A report of a module whose kernel did not stay well after it had been unloaded."""
    left, known = report.remains, {r.text for r in report.log}
    # A panic says all of its log again.
    raw = list(dropwhile(lambda r: r.text in known, seen.records or ()))
    records = left.symbolize(raw) if left else tuple(raw)
    evidence = UnloadEvidence(
        report.module, answered=False, alive=seen.alive, reset=seen.reset, late=seen.late, records=records
    )
    judgement, place = _placed(judge_unload(evidence), report.module, left.ko if left else None, records)
    if judgement.verdict == "lost" and seen.alive:
        return report  # it crashed before the unload: that is told of the load
    if judgement.verdict != "lost":
        gone = left.freed_address(raw) if left else None
        judgement = _left_behind(judgement, report.module, left, place, gone)
    return replace(report, judgement=judgement, place=place, log=(*report.log, *raw))


def _left_behind(
    judgement: UnloadJudgement,
    module: str,
    left: DanglingCallbacks | None,
    place: SourceLine | None,
    gone: str | None,
) -> UnloadJudgement:
    """A crash or silence, told as one that came after exit. `gone`: what of the module the kernel missed."""
    entry = catalogue.entry("KS617")
    assert entry is not None
    said = {"KS268": "the processor reset", "KS309": "the kernel does not answer any more"}
    cause = said.get(judgement.code or "", judgement.cause)
    told = place and gone == f"{place.function}()"
    if gone and not told and f", in {gone.removesuffix('()')}+0x" not in (cause or ""):
        cause = f"{cause} ({gone} was there)"
    fix = catalogue.filled(entry.fix, {"stop": left.stop}) if left else entry.fix
    return replace(
        judgement, code=entry.code, cause=f"{cause}; {module} was unloaded already", fix=fix, certain=True
    )


def file_of(module: str, words: Sequence[Path], target: Target) -> Path | None:
    """Which of these files a loaded module is of, by its build ID; None where none is known to be."""
    if not isinstance(target, SandboxTarget):
        return None
    with contextlib.suppress(OSError, KscaffoldError):
        note = target.read(f"/sys/module/{module}/notes/{quick.BUILD_ID}")
        return next((ko for ko in words if quick.build_id(ko) == note), None)
    return None
