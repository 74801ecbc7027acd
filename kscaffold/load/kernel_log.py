"""The kernel's log of a project's sandbox, or of the host: read, and followed."""

import time
from collections.abc import Callable
from pathlib import Path

from kscaffold import lazy
from kscaffold.diagnosis.klog import Record, parse_kmsg, parse_text
from kscaffold.errors import KscaffoldError
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass, replace
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.live import registry
from kscaffold.targets.host import HostTarget
from kscaffold.targets.sandbox import SandboxTarget

_POLL = 0.3  # s between two looks of `follow_log`
_SUCCESSOR = 3.0  # s in which a reload starts the next sandbox
_MARK = lazy.pattern(r"kscaffold: request [0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class KernelLog:
    """A kernel's log. `loads`: the index from which on it is of the loads and unloads that were asked for.
    `tainted`: kernel.tainted, None where the kernel was not asked.
    """

    records: list[Record]
    loads: int
    tainted: int | None = None

    def last(self, count: int) -> "KernelLog":
        """The log's last `count` records."""
        gone = max(0, len(self.records) - count)
        return KernelLog(self.records[gone:], max(0, self.loads - gone))

    def without_instruments(self) -> "KernelLog":
        """The log without what the helper of an instrument wrote there."""
        from kscaffold.diagnosis.reports.sanitizer import is_instruments  # start-up time: few logs are shown

        before = sum(is_instruments(r) for r in self.records[: self.loads])
        return KernelLog([r for r in self.records if not is_instruments(r)], self.loads - before)


def read_log(
    at: Path, *, host: bool, previous: bool = False, progress: Progress = SILENT
) -> KernelLog | None:
    """The log of the host, of the live sandbox, or what its daemon kept of the last one. None: no log.

    `previous`: that of the sandbox before.
    """
    if previous:
        return last_records(at, previous=True)
    if host:
        records = HostTarget(progress.note).log()
        return KernelLog(records, len(records))
    with registry.connect(at) as connection:
        if connection is not None:
            target = SandboxTarget.from_connection(connection)
            return replace(without_marks(target.log()), tainted=target.tainted() or 0)
    last = last_records(at)
    if last is None:
        if not (registry.sandbox_dir(at) / "lock").exists():
            return None
        progress.note("the sandbox has ended, and its log could not be read before")
        return KernelLog([], 0)
    progress.note("the sandbox has ended; this is its last log")
    return last


def last_records(at: Path, *, previous: bool = False) -> KernelLog | None:
    """The log that the directory's last sandbox left when it ended; `previous`: the one before it."""
    kept, words = registry.last_log(at, previous=previous)
    if not kept and not words:
        return None
    from kscaffold.diagnosis.nmi import without_nmi  # start-up time: few sandboxes have ended

    records = parse_kmsg(b"\n".join(protocol.records(kept)))
    # The console repeats lines that the log has; its own are those after them.
    known = {r.text for r in records}
    said = without_nmi(parse_text(words))
    last = [r for r in said if r.text not in known and r.text.strip()]
    # A console does not tell the agent's lines from the kernel's.
    records += [replace(r, facility=1) if _MARK.fullmatch(r.text) else r for r in last]
    return without_marks(records)


def without_marks(records: list[Record]) -> KernelLog:
    """A guest's log without the line that the agent writes before each load and unload."""
    marks = [i for i, r in enumerate(records) if r.facility and _MARK.fullmatch(r.text)]
    kept = [r for i, r in enumerate(records) if i not in set(marks)]
    return KernelLog(kept, marks[0] if marks else len(kept))


def follow_log(
    at: Path, show: Callable[[KernelLog], None], *, seen: int, progress: Progress = SILENT
) -> None:
    """Hand over new records of the sandbox as they come, and of the one that takes its place, until Ctrl-C
    or until none is there.

    `seen`: the sequence number after which they are new.
    """
    first = registry.find_sandbox(at)
    daemon, gone = first.daemon if first else None, None
    while gone is None or time.monotonic() - gone < _SUCCESSOR:
        time.sleep(_POLL)
        try:
            with registry.connect(at) as connection:
                if connection is None:
                    is_ended = registry.is_ended(registry.sandbox_dir(at))
                    gone = (gone or time.monotonic()) if is_ended else None
                    continue
                gone, whole = None, without_marks(SandboxTarget.from_connection(connection).log())
                count = sum(1 for r in whole.records if r.seq is not None and r.seq > seen)
                if connection.daemon != daemon:
                    daemon, count = connection.daemon, len(whole.records) - whole.loads
                    progress.note("a new sandbox has taken its place")
        except KscaffoldError as error:
            if error.code in ("KS606", "KS607", "KS610"):
                continue  # busy, or just gone: the next look says
            raise
        seen = next((r.seq for r in reversed(whole.records) if r.seq is not None), seen)
        if count:
            show(whole.last(count))
    progress.note("the sandbox has ended")


def follow_host_log(show: Callable[[KernelLog], None], progress: Progress = SILENT) -> None:
    """Hand over this machine's log, and what comes, until Ctrl-C."""
    HostTarget(progress.note).follow(lambda new: show(KernelLog(new, len(new))))
