"""What a live sandbox's kernel complained of between two commands: the next one tells it, whatever it is.

A module may crash its kernel in an ioctl, a timer or a thread when no command looks on. How far a log
has been told is kept beside the sandbox's socket.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from kscaffold.diagnosis import catalogue, crash, crash_heads
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.files.atomic import write_whole
from kscaffold.load.addr2line import SourceLine, locate_complaints
from kscaffold.load.kernel_log import KernelLog, last_records, without_marks
from kscaffold.progress import Progress
from kscaffold.sandbox.live import registry
from kscaffold.targets.sandbox import SandboxTarget

_ALL = 1 << 62


def tell_crash(at: Path, target: SandboxTarget, progress: Progress) -> str | None:
    """Tell of a crash or a warning in the live sandbox of that directory that no command has told yet. The
    guest is asked for one number, and for its log only where that number tells of either.

    Returns what its kernel crashed with, told before or now; None where it did not. What the sanitizer of
    instrumented copies has found is told as well.
    """
    if registry.has_copies(at):
        from kscaffold.load import live_copies  # start-up time: few loads have an instrument

        live_copies.tell_news(at, target, progress)
    tainted = target.tainted() or 0
    if not tainted & crash_heads.REPORTED:
        return None
    with contextlib.suppress(KscaffoldError):
        log = without_marks(target.log())
        fatal = next((c for c in _report(at, log.records[log.loads :], tainted, progress) if c.fatal), None)
        return fatal.summary if fatal else None
    return None


def tell_news(at: Path, progress: Progress) -> None:
    """Do as tell_crash for a sandbox that is not open here; do nothing where another command uses it."""
    with contextlib.suppress(KscaffoldError), registry.connect(at) as connection:
        if connection is not None:
            tell_crash(at, SandboxTarget.from_connection(connection), progress)


def tell_last_crash(at: Path, progress: Progress, *, previous: bool = False) -> None:
    """Tell of the crash that the directory's last sandbox ended with, once; `previous`: the one before."""
    log = last_records(at, previous=previous)
    if log is not None:
        records = log.records[log.loads :]
        if registry.has_copies(at, previous=previous):
            from kscaffold.load import live_copies  # start-up time: few loads have an instrument

            live_copies.tell_news_in(at, log.records, progress, previous=previous)
        if not any(c.fatal for c in _report(at, records, None, progress, previous=previous)):
            _tell_end(at, records, progress, previous=previous)


def _tell_end(at: Path, records: Sequence[Record], progress: Progress, *, previous: bool) -> None:
    """Tell, once, of a sandbox whose kernel was ended by a call, or whose machine reset itself."""
    file = _file(at, previous=previous)
    if _last_reported(file) == _ALL:
        return
    from kscaffold.load.ending import how_ended  # start-up time: few sandboxes have ended so

    ended = how_ended(records, modules_beside(at))
    if ended is not None:
        text, place, code = ended
        progress.warn(f"the sandbox has ended since the last command: {text}")
        _show(place, progress)
        progress.note(f"   more: kscaffold explain {code}")
        _write(file, _ALL)


def tell_in(at: Path, log: KernelLog, progress: Progress, *, previous: bool = False) -> None:
    """Tell what the kernel complained of, in a log that was read, and what no command has told."""
    _report(at, log.records[log.loads :], log.tainted, progress, previous=previous)


def mark_told(at: Path, records: Sequence[Record], *, is_gone: bool) -> None:
    """Remember that a shown report had the records. `is_gone`: it had the kernel's last words, too."""
    seq = _ALL if is_gone else max((r.seq for r in records if r.seq is not None), default=-1)
    if seq > _last_reported(_file(at)):
        _write(_file(at), seq)


def _file(at: Path, *, previous: bool = False) -> Path:
    return registry.sandbox_dir(at) / f"{registry.PREVIOUS if previous else ''}told"


def _last_reported(file: Path) -> int:
    """The sequence number of the last record of the sandbox that was told."""
    try:
        return int(reader.read_text(file, 64))
    except (OSError, ValueError, KscaffoldError):
        return -1


def _write(file: Path, seq: int) -> None:
    with contextlib.suppress(OSError):
        write_whole(file, str(seq))


def _report(
    at: Path, records: Sequence[Record], tainted: int | None, progress: Progress, *, previous: bool = False
) -> tuple[Complaint, ...]:
    found = crash.complaints(records)
    known = _last_reported(_file(at, previous=previous))
    # What a console alone has comes without numbers, behind all that has one.
    last = max((r.seq for r in records if r.seq is not None), default=-1)
    numbered = [c.seq if c.seq is not None else last + 1 for c in found]
    live = crash.harmless_complaints(found, tainted) if tainted is not None else tuple(found)
    news = [c for c, seq in zip(found, numbered, strict=True) if seq > known and c in live]
    for complaint in news:
        _say(at, complaint, records, progress)
    old = next((c for c in live if c.fatal and c not in news), None)
    if old is not None and tainted is not None:
        progress.note(f"the sandbox's kernel has crashed ({old.summary}): kscaffold reload starts a new one")
    if news:
        _write(_file(at, previous=previous), max(last, *numbered))
    return live


def _say(at: Path, complaint: Complaint, records: Sequence[Record], progress: Progress) -> None:
    """Report one complaint: the kernel's words, the line of source, the code."""
    located, place = _located(at, complaint, records)
    entry = catalogue.entry_of_complaint(complaint.meaning)
    where = f", at {located.where}" if place else ""
    progress.warn(f"the sandbox's kernel complained since the last command: {complaint.summary}{where}")
    _show(place, progress)
    if complaint.fatal:
        progress.note("    fix: kscaffold logs shows the report; kscaffold reload starts a new sandbox")
    if entry is not None:
        progress.note(f"   more: kscaffold explain {entry.code}")


def _show(place: SourceLine | None, progress: Progress) -> None:
    for number, text in place.lines if place else ():
        progress.note(
            f"   {'>' if place and number == place.line else ' '} {number:>4} | {text.expandtabs(4)}"
        )


def _located(
    at: Path, complaint: Complaint, records: Sequence[Record]
) -> tuple[Complaint, SourceLine | None]:
    """The complaint with the line of source, where the module that it names lies in the project."""
    files = [*_copies(at), *modules_beside(at)] if complaint.module else []
    for ko in files:
        with contextlib.suppress(KscaffoldError):
            if ko.module == complaint.module:
                (located,), place = locate_complaints([complaint], ko.module, ko, records)
                return located, place
    return complaint, None


def _copies(at: Path) -> Sequence[ModuleFile]:
    """The instrumented copies in the sandbox."""
    if not registry.has_copies(at):
        return ()
    from kscaffold.load import live_copies  # start-up time: few loads have an instrument

    found = live_copies.live_copies(at)
    return tuple(found.files.values()) if found else ()


def modules_beside(at: Path) -> Iterator[ModuleFile]:
    """The project's modules."""
    from kscaffold.make.fingerprint.compare import recorded_targets  # start-up time: few sandboxes complain

    for path in sorted({*at.glob("*.ko"), *(target.ko for target in recorded_targets(at))}):
        with contextlib.suppress(KscaffoldError):
            yield ModuleFile.open(path, at)
