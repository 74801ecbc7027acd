"""Unload one module from a target, and say why when it stays."""

import contextlib
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.arch import table
from kscaffold.diagnosis import catalogue, crash, power
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, UnloadJudgement, judge_unload
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.module_name import module_name_of
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.load import dangling
from kscaffold.load.addr2line import SourceLine, locate_complaints, with_source_line, with_stack
from kscaffold.load.dangling import DanglingCallbacks, PendingCallback
from kscaffold.load.flaws import Flaw, flaws_of_residue, flaws_of_unload
from kscaffold.load.gather import tainted
from kscaffold.records import dataclass, replace
from kscaffold.targets.target import Target

_DAY = 86400.0  # s

if TYPE_CHECKING:
    from kscaffold.diagnosis.residue.kinds import Residue
    from kscaffold.load.finding import Finding


@dataclass(frozen=True, slots=True)
class UnloadReport:
    """One module, unloaded or not. `seconds`: in the kernel. `place`: the line of source that the
    kernel's first complaint is about. `dangling`: what the module may have left running; `due`: in how many
    seconds each of the timers is due that it did leave. `note`: what the log lacks. `residue`: what was
    found left behind in a sandbox that lives on; None where nobody looked, or could tell. `findings`: what
    the sanitizer found, where the module was an instrumented copy; else None. `kernel`, `arch`: the
    release, and the machine as `uname -m` says it; empty where no kernel was asked. `bugs`: what was seen
    of the module before it went, of which the kernel says nothing. `stack`: the kernel stack of an unload
    that did not come back. `begun`: the kernel was still there to begin it.
    `crashed_by`: another module, that crashed the kernel meanwhile.
    """

    module: str
    judgement: UnloadJudgement
    log: tuple[Record, ...]
    seconds: float
    place: SourceLine | None = None
    dangling: DanglingCallbacks | None = None
    note: str | None = None
    due: tuple[float, ...] = ()
    residue: "tuple[Residue, ...] | None" = None
    findings: "tuple[Finding, ...] | None" = None
    kernel: str = ""
    arch: str = ""
    bugs: tuple[Flaw, ...] = ()
    stack: str = ""
    begun: bool = True
    crashed_by: str = ""

    @property
    def kernel_name(self) -> str:
        """The kernel, as people and --kernel name it."""
        return table.kernel_name(self.kernel, self.arch)

    @property
    def ok(self) -> bool:
        """Whether the module is gone."""
        return self.judgement.verdict == "unloaded"

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """The flaws that make a successful unload unclean."""
        bugs = self.bugs if self.ok else ()
        return (*flaws_of_unload(self), *bugs, *flaws_of_residue(self.residue or ()))


def module_of_word(word: str) -> str:
    """The kernel's name of what was typed: a name, or a file's, with dashes or `.ko`."""
    return module_name_of(word)


def unload(name: str, target: Target, *, timeout: float, ko: ModuleFile | None = None) -> UnloadReport:
    """Unload a module, by its name or its file's; `timeout` in seconds.

    `ko`: the file it is loaded from, to find the source of a crash.
    """
    module = module_of_word(name)
    if module in ("", ".", ".."):  # which are directories of /sys/module, too
        raise UsageError("KS089", f"{name!r} is not the name of a module", fix="kscaffold list")
    left = dangling.find_dangling(ko, module, target) if ko is not None else None
    bugs: tuple[Flaw, ...] = ()
    if ko is not None and target.kind == "sandbox":
        from kscaffold.load.bugs import bugs_of  # start-up time: most commands unload nothing

        bugs = bugs_of(ko, module, target)
    attempt = target.unload(module, timeout)
    evidence = _gather(module, attempt, target, left)
    if attempt.reset and ko is not None:
        evidence = replace(evidence, resets=power.resets(quick.imports(ko)))
    judgement, place = with_lines(judge_unload(evidence), module, ko, evidence.attempt.log)
    if ko is not None:
        cause, place = with_stack(judgement.cause, place, attempt.stack, ko)
        if judgement.code in power.ENDED:
            from kscaffold.load.ending import with_ending_call  # start-up time: few kernels end so

            cause, place = with_ending_call(cause, attempt, ko, evidence.resets)
        judgement = _of_own_references(replace(judgement, cause=cause), ko)
    if left and judgement.verdict == "crashed" and (gone := left.freed_address(attempt.log)):
        # Exit had ended: what is there while it runs can't be missing.
        judgement = after_exit(judgement, module, left, place, gone)
    due: tuple[float, ...] = ()
    if left and left.seconds and judgement.verdict == "unloaded":
        timers = target.timers()
        pending = left.pending(timers or ())
        due = (*(one.seconds + one.late for one in pending), *left.wake_ups(timers or ()))
        judgement = still_running(judgement, module, left, pending)
        left = replace(left, known=tuple(one.function for one in pending))
    return UnloadReport(
        module=module,
        judgement=judgement,
        log=attempt.log,
        seconds=attempt.seconds,
        place=place,
        dangling=left,
        note=attempt.note,
        due=due,
        bugs=bugs,
        kernel=target.release,
        arch=target.arch,
        stack=attempt.stack,
        begun=attempt.begun,
    )


def _of_own_references(judgement: UnloadJudgement, ko: ModuleFile) -> UnloadJudgement:
    """The judgement on a module that is in use, where it takes references to itself."""
    if judgement.code != "KS303":
        return judgement
    imports = quick.imports(ko)
    taken = [name for name in ("try_module_get", "__module_get") if name in imports]
    if not taken:
        return judgement
    from kscaffold.diagnosis.residue.source import lines_of_call  # start-up time: few modules do that
    from kscaffold.load.source_files import sources_of

    found = next(iter(lines_of_call(taken[0], sources_of([ko]))), None)
    where = f" at {found[0]}:{found[1]}" if found else ""
    less = "less often, or a file of its is open" if "module_put" in imports else "never"
    cause = f"{ko.module} holds a reference to itself: it calls {taken[0]}(){where}, and module_put() {less}"
    fix = "call module_put() for each reference on every path; a file's .owner = THIS_MODULE needs neither"
    return replace(judgement, cause=cause, fix=fix, certain=less == "never")


def of_loaded(report: UnloadReport) -> UnloadReport:
    """The report on a module that was loaded just before and nobody else unloads: where the kernel knows none
    of that name, the module hides."""
    if report.judgement.code != "KS301":
        return report
    cause = (
        f"{report.module} was loaded, and is not in the kernel's list any more: it took itself out "
        "(list_del() of its entry), and nothing can unload it"
    )
    fix = "leave the module in the list; where it is meant to hide, only the sandbox's end ends it"
    return replace(report, judgement=replace(report.judgement, cause=cause, fix=fix))


def _gather(module: str, attempt: Attempt, target: Target, left: DanglingCallbacks | None) -> UnloadEvidence:
    """The evidence of an attempt. What only a failure needs is looked up only then."""
    named_log = left.symbolize(attempt.log) if left else attempt.log
    evidence = UnloadEvidence(module, replace(attempt, records=named_log), tainted=tainted(attempt, target))
    if attempt.errno == 0 or not attempt.heard or _locked_the_list(module, attempt):
        return evidence
    listed = next((m for m in target.modules() if m.name == module), None)
    if attempt.errno in (errno.EPERM, errno.ENOENT):
        return replace(evidence, listed=listed, facts=target.facts(module))
    return replace(evidence, listed=listed, gone=listed is None)


def _locked_the_list(module: str, attempt: Attempt) -> bool:
    """Whether the task that unloaded crashed. It may have held the lock of the kernel's list of modules, and
    keeps it then: who asks for the list waits for ever.
    """
    return attempt.killed_by is not None and any(c.fatal for c in crash.complaints(attempt.log, module))


def with_lines(
    judgement: UnloadJudgement, module: str, ko: ModuleFile | None, records: Sequence[Record]
) -> tuple[UnloadJudgement, SourceLine | None]:
    """The judgement with lines of source in it, and the first of them."""
    if ko is None or not judgement.complaints:
        return judgement, None
    complaints, place = locate_complaints(judgement.complaints, module, ko, records)
    cause = with_source_line(judgement.cause, judgement.complaints, complaints)
    return replace(judgement, complaints=complaints, cause=cause), place


def after_exit(
    judgement: UnloadJudgement,
    module: str,
    left: DanglingCallbacks | None,
    place: SourceLine | None,
    gone: str | None,
) -> UnloadJudgement:
    """The judgement on a crash or a silence that came after exit. `gone`: what of the module the kernel
    missed, None for nothing known.
    """
    entry = catalogue.entry("KS617")
    assert entry is not None
    said = {"KS268": "the processor reset", "KS309": "the kernel does not answer any more"}
    cause = said.get(judgement.code or "", judgement.cause)
    named = place and gone == f"{place.function}()"
    if gone and not named and f", in {gone.removesuffix('()')}+0x" not in (cause or ""):
        cause = f"{cause} ({gone} was there)"
    fix = catalogue.filled(entry.fix, {"stop": left.stop}) if left else entry.fix
    return replace(
        judgement, code=entry.code, cause=f"{cause}; {module} was unloaded already", fix=fix, certain=True
    )


def due(seconds: float) -> str:
    """A part of a sentence: when a timer is due that has so many seconds left."""
    if seconds >= _DAY:
        return "in more than a day"
    return f"in {seconds:.1f} s" if seconds < 100 else f"in {seconds:.0f} s"


def still_running(
    judgement: UnloadJudgement, module: str, left: DanglingCallbacks, pending: Sequence[PendingCallback]
) -> UnloadJudgement:
    """The judgement on an unload that went well, with what the module left to be called: certain where that
    is known, likely where its imports say so.
    """
    entry = catalogue.entry("KS617")
    assert entry is not None
    if pending:
        first = pending[0]
        more = f", and {len(pending) - 1} more" if len(pending) > 1 else ""
        cause = (
            f"a timer that exit left armed calls {first.function} {due(first.seconds)}{more};"
            f" {module} was unloaded already"
        )
    elif left.forgotten:
        start, end = left.forgotten
        cause = (
            f"likely: {module} calls {start}(), and never {end}(): what that started may run after the unload"
        )
    else:
        return judgement
    return replace(
        judgement,
        code=entry.code,
        cause=cause,
        fix=catalogue.filled(entry.fix, {"stop": pending[0].stop if pending else left.stop}),
        certain=bool(pending),
    )


def file_of(
    module: str, paths: Sequence[Path], target: Target, home: Path | None = None
) -> ModuleFile | None:
    """Which of these files a loaded module is of, by its build ID; None where none is known to be.
    `home`: the project's directory.
    """
    try:
        note = target.read(f"/sys/module/{module}/notes/{quick.BUILD_ID}")
    except (OSError, KscaffoldError):  # built without one, or not loaded
        return None
    for path in paths:
        with contextlib.suppress(KscaffoldError):  # what was typed may be a name, and no file
            ko = ModuleFile.open(path, home)
            if quick.build_id(ko) == note:
                return ko
    return None
