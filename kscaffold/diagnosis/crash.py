"""Finds what the kernel itself complained of: oops, BUG, WARN, lockups and their kin.

The kernel's reports have a shape: a head line, then `CPU: n PID: n Comm:`, registers, a call trace. The
shape is asked for, not a word: a module may print "BUG" as often as it likes.
"""

import re
from collections.abc import Collection, Sequence

from kscaffold import lazy
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.crash_heads import INIT_STATE, MARK, Head, heads
from kscaffold.diagnosis.klog import LEVELS, Record
from kscaffold.records import dataclass, replace

# After these nothing can be trusted to go on: the verdict is `crashed`.
FATAL = frozenset({"oops", "bug", "panic", "list-corruption", "nx", "stack-overflow"})

_MAX_TEXT = 1024  # a head line is matched on its first kilobyte
_MAX_BLOCK = 160  # lines a report is looked for in; the longest seen (KASAN) have 110


@dataclass(frozen=True, slots=True)
class Complaint:
    """One report of the kernel's.

    `kind`: oops, bug, nx, panic, warn, undefined, soft-lockup, hard-lockup, rcu-stall, hung-task, atomic,
    refcount, list-corruption, stack-overflow, memory, locking, init-state, kobject, kobject-twice, interrupt,
    sysctl. `text`: the kernel's own line.
    `where`: `function+0xoffset/0xsize [module]`, the first frame in the module asked about, else the
    reported one.
    `source`: `file:line` where the kernel said it (BUG, WARN). `module`: whose code `where` is in.
    `seq`: the head line's sequence number, `index` its place among the records that were looked at.
    `taints`: the bits of kernel.tainted of which the kernel sets one with such a report; 0: none.
    `reason`: a kind narrower than `kind` that the lines beside the head prove (crash_reason). `cause`: what
    happened, where the address says it. `words`: the processor's status word and its meaning.
    `follows_crash`: the kernel had crashed before. `task`: the name and PID of the task that ran it.
    `whole`: False where the paste ends before the report does. `callee`: the kernel's function that code
    without a frame called with its last instruction, by the frame of who called that code.
    """

    kind: str
    text: str
    where: str | None
    source: str | None = None
    module: str | None = None
    seq: int | None = None
    index: int = 0
    taints: int = 0
    reason: str | None = None
    cause: str = ""
    words: str = ""
    follows_crash: bool = False
    task: str | None = None
    whole: bool = True
    callee: str | None = None

    @property
    def meaning(self) -> str:
        """The narrowest kind that is known: the one to ask the catalogue for."""
        return self.reason or self.kind

    @property
    def summary(self) -> str:
        """The kernel's line and the place, where the line does not name it itself."""
        function = self.where.partition("+")[0] if self.where else ""
        if not function or re.search(rf"(?<![\w.]){re.escape(function)}\+0x", self.text):
            return self.text
        return f"{self.text.rstrip(' .')}, in {self.where}"

    @property
    def fatal(self) -> bool:
        """Whether this ends the trust in the kernel it happened in."""
        return self.kind in FATAL


_CUT = lazy.pattern(r"^-{8,16}\[ cut here \]-{8,16}$")
_SOURCE = lazy.pattern(r"(?: at |^WARNING: |^UBSAN: [\w-]{1,40} in )(\S{1,400}?:\d{1,7})\b")


_NO_WORDS = lazy.pattern(
    r"(?:Modules linked in|CPU|Pid|Hardware name|RIP|Workqueue|Call [Tt]race): |[\d ]|-{4}"
)
_REFCOUNT = lazy.pattern(r"^refcount_t: ")
_PLACE = r"([A-Za-z_][\w.$]{0,200}\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})(?: \[([\w-]{1,64}))?"
# Kernels before Linux kernel commit bb5e5ce545f2 "x86/dumpstack: Remove kernel text addresses from stack
# dump" (in v4.10) print the address before the function's name, and that of RIP twice.
_ADDRESS = r"(?: ?\[<?[0-9a-f]{8,16}>?\] ?){0,2}"
_FRAME = lazy.pattern(rf"^ ?{_ADDRESS}" + _PLACE)
# arm's frames name the callee, then its caller (dump_backtrace_entry() of arch/arm/kernel/traps.c).
_FROM = lazy.pattern(
    r"^ ?(?:\[<[0-9a-f]{8}>\] \()?[\w.$]{1,200}(?:\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})?(?: \[[\w-]{1,64}\])?\)?"
    r" from (?:\[<[0-9a-f]{8}>\] \()?" + _PLACE
)
_DOUBTFUL = lazy.pattern(rf"^ ?{_ADDRESS}\? (?!__pfx_)" + _PLACE)
# Where the machine stood, as x86, arm, arm64, riscv, mips, powerpc, s390 and loongarch print it.
_AT = lazy.pattern(
    r"^(?:RIP: [0-9a-f]{4}:|E?IP: |PC is at |PC: (?=\[)|pc : |epc\s{1,3}: (?:[0-9a-f]{8,16} )?|NIP (?=\[)|"
    rf"Krnl PSW : [0-9a-f]{{16}} [0-9a-f]{{16}} \(| {{0,3}}ERA: [0-9a-f]{{16}} ){_ADDRESS}" + _PLACE
)
# Who called, where the processor stands at no function: arm, arm64, riscv, powerpc and loongarch keep it.
_CALLER = lazy.pattern(
    rf"^(?:LR is at |lr : |LR (?=\[)| {{0,2}}ra ?: (?:[0-9a-f]{{16}} )?){_ADDRESS}" + _PLACE
)
# Where a lock is taken, as lockdep lists it (print_lock() of kernel/locking/lockdep.c).
_LOCKER = lazy.pattern(rf"\}}(?:-\{{\d{{1,2}}:\d{{1,2}}\}})?, at: {_ADDRESS}" + _PLACE)
# Functions that a report itself goes through: the place is below them.
_REPORTER = lazy.pattern(
    r"(?:dump_|show_)(?:stack|backtrace)|__schedule|__warn|warn_slowpath|__ubsan|ubsan_epilogue|"
    r"exc_control_protection|do_kernel_cp_fault|(?:__)?fortify_|usercopy_abort|__check_object_size"
)
# And where a task that waits stands, whatever it waits for.
_WAITER = lazy.pattern(
    r"(?:io_|__)?schedule(?:_\w{1,40})?\+|__switch_to\+|_{0,2}(?:wait_for_com(?:mon|pletion)|flush_work)"
)
# print_worker_info() of kernel/workqueue.c
_WORK = lazy.pattern(r"^Workqueue: \S{1,40} ([\w.$]{1,200} \[(?P<module>[\w-]{1,64})\])")
_IN_HEAD = lazy.pattern(r"\b" + _PLACE)
_END = lazy.pattern(r"^---\[ end (?:trace|Kernel panic)|^={60,70}$")


def harmless_complaints(
    found: Sequence[Complaint], tainted: int | None = None, *, waiting: bool = False
) -> tuple[Complaint, ...]:
    """The complaints that a kernel which still runs can have made: a panic would have been the kernel's end.

    `tainted`: kernel.tainted after the complaints, None where nobody read it. A complaint whose taint bit is
    not set was printed by a module or a program, however well the lines imitate the kernel's.

    `waiting`: whether somebody still waits for what the kernel was asked. Where nobody does, a task that
    slept or worked for some seconds did nothing that a kernel with usual limits would speak of (a thread of
    a healthy module may well sleep for five): only a sandbox's says early where a task is.
    """
    true = [c for c in found if c.kind != "panic" and (waiting or not _is_early(c))]
    return tuple(c for c in true if tainted is None or not c.taints or c.taints & tainted)


_OF_ONE_TASK = lazy.pattern(
    r"^INFO: task (?P<task>.{1,80}:\d+) blocked (?:in I/O wait )?for more than (?P<waited>\d{1,4}) seconds"
    r"|: soft lockup - CPU#\d+ stuck for (?P<busy>\d{1,4})s! \["
)
_USUAL = {"waited": 120, "busy": 20}  # s: kernel/hung_task.c, kernel/watchdog.c
_ONE_TASK = frozenset({"hung-task", "soft-lockup"})


def complaints_of_call(attempt: Attempt, module: str, tainted: int | None) -> tuple[Complaint, ...]:
    """What the kernel complained of while it loaded or unloaded a module. `tainted`: as for
    harmless_complaints().
    """
    found = tuple(complaints(attempt.log, module))
    if attempt.outlived:
        returned = attempt.answered and attempt.errno is not None
        found = harmless_complaints(found, tainted, waiting=not returned)
    return found


def _is_early(complaint: Complaint) -> bool:
    said = _OF_ONE_TASK.search(complaint.text[:300]) if complaint.kind in _ONE_TASK else None
    return said is not None and any(int(said[what]) < most for what, most in _USUAL.items() if said[what])


def origin_of(fatal: Complaint, found: Sequence[Complaint], module: str) -> Complaint:
    """The complaint that tells why the kernel crashed: the crash itself, or, where that is not in `module`,
    that somebody slept before it where nobody must: the scheduler has no way back from that. (Whose sleep it
    was the trace may not show: `msleep()` as a function's last call is a jump.)
    """
    if fatal.module == module:
        return fatal
    before = (c for c in found if c.index < fatal.index and c.kind == "atomic" and c.module in (module, None))
    return next(before, fatal)


def cause_of_crash(fatal: Complaint, origin: Complaint) -> str:
    """A sentence of a crash and its origin (origin_of)."""
    return fatal.summary if origin is fatal else f"{origin.summary}; then {fatal.summary}"


def may_have_complaint(records: Sequence[Record]) -> bool:
    """Whether complaints() may find one: its first and cheap question."""
    return any(MARK.search(r.text[:_MAX_TEXT]) for r in records)


# A head counts without the rest of its report where a paste has at most so many lines after the head.
_CUT_OFF = 8


def complaints(
    records: Sequence[Record], module: str | Collection[str] | None = None, *, cut_off: bool = False
) -> list[Complaint]:
    """What the kernel complained of in these records, oldest first.

    `module`: the kernel's name (`ret_1`) of the module, or of those, whose frames are preferred for `where`,
    the innermost first. Records that programs wrote to /dev/kmsg are not the kernel's words and are passed
    over. `cut_off`: the records are a paste, at whose end a head may stand without the rest of its report.
    """
    modules = frozenset((module,)) if isinstance(module, str) else module
    places = [i for i, r in enumerate(records) if r.facility == 0]
    own = _Lines([records[i] for i in places])
    found: list[Complaint] = []
    waiting: set[str | None] = set()
    end = 0  # the lines before this index belong to the report before
    for index in range(len(places)):
        head = own.head(index)
        if head is None or (index < end and head.kind != "panic"):
            continue
        stop = own.end_of_report(index)
        if head.kind == "atomic":
            stop = own.next_crash(index, stop)
        elif head.kind == "hung-task":  # each second again, of each task that waits
            stop = own.next_waiting(index, stop)
            task = _OF_ONE_TASK.match(own.records[index].text[:_MAX_TEXT])
            if task and task["task"] in waiting:
                end = stop
                continue
            waiting.add(task["task"] if task else None)
        whole = head.body is None or own.next(head.body, index + 1, stop) is not None
        if not whole and not (cut_off and len(places) - index <= _CUT_OFF):
            continue
        before, block = own.records[max(0, index - 3) : index], own.records[index:stop]
        complaint = _complaint(head, block, before, modules)
        found.append(replace(complaint, index=places[index], whole=whole))
        if head.body is not None:
            end = stop
    return found


class _Lines:
    """The lines of a log, each asked once whether a pattern is in it: where every line is a head, the 160
    after each would be searched again and again.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self._heads: dict[int, Head | None] = {}
        self._fit: dict[object, bytes] = {}
        self._crashes: bytes | None = None

    def head(self, index: int) -> Head | None:
        """The kind of report that begins with this line."""
        if index not in self._heads:
            self._heads[index] = _head(self.records[index])
        return self._heads[index]

    def next(self, pattern: re.Pattern[str], start: int, stop: int) -> int | None:
        """The first line of `start` to before `stop` that `pattern` is found in."""
        fit = self._fit.get(pattern)
        if fit is None:
            fit = bytes(pattern.search(r.text[:_MAX_TEXT]) is not None for r in self.records)
            self._fit[pattern] = fit
        index = fit.find(1, start, stop)
        return None if index < 0 else index

    def end_of_report(self, start: int) -> int:
        """The line behind the report that begins at `start`: behind its end mark, or the next one's `cut
        here`.
        """
        stop = min(len(self.records), start + _MAX_BLOCK)
        end = self.next(_END, start + 1, stop)
        # A BUG's `cut here` comes between the list's complaint and its registers.
        cut = self.next(_CUT, start + 3, stop)
        if cut is not None and (end is None or cut < end):
            return cut
        return stop if end is None else end + 1

    def next_crash(self, start: int, stop: int) -> int:
        """The line at which a report of a sleep ends, which has no end mark: a crash that follows, or
        `stop`.
        """
        if self._crashes is None:
            found = map(self.head, range(len(self.records)))
            self._crashes = bytes(head is not None and head.kind in FATAL for head in found)
        index = self._crashes.find(1, start + 1, stop)
        return stop if index < 0 else index

    def next_waiting(self, start: int, stop: int) -> int:
        """The line at which a report of a task that waits ends, which has no end mark: the next such report,
        or `stop`.
        """
        index = self.next(_OF_ONE_TASK, start + 1, stop)
        return stop if index is None else index


def _head(record: Record) -> Head | None:
    text = record.text[:_MAX_TEXT]
    if not MARK.search(text):
        return None
    for head in heads():
        if head.pattern.search(text):
            low = record.level is not None and LEVELS.index(record.level) > LEVELS.index(head.worst_level)
            return None if low else head
    return None


def _complaint(
    head: Head, block: Sequence[Record], before: Sequence[Record], modules: Collection[str] | None
) -> Complaint:
    from kscaffold.diagnosis import crash_reason  # start-up time: most loads have no complaint

    text = block[0].text
    kind = head.kind
    if kind == "warn":
        # WARN(…, format) prints its own words before the `WARNING:` line; before 4.14, and on ARM, after it.
        words = _words_of_warn(before) or _words_after(block)
        if words and _REFCOUNT.match(words):
            kind = "refcount"
        elif words and re.match(r"list_(?:add|del)", words):
            kind = "list-corruption"
        elif words and INIT_STATE.match(words):
            kind = "init-state"
        text = f"{words} ({text})" if words else text
    if kind == "oops" and any(r.text.startswith("kernel tried to execute NX-protected") for r in before):
        kind = "nx"
    where, owner = _where(block, modules, text, waits=kind in ("hung-task", "atomic"))
    if owner is None and kind == "hung-task" and (work := _work_in(block, modules)):
        where, owner = work
    why = crash_reason.reason(
        kind, [r.text[:_MAX_TEXT] for r in before], [r.text[:_MAX_TEXT] for r in block], owner
    )
    if why.place:
        where, owner = why.place, why.module
    source = _SOURCE.search(block[0].text[:_MAX_TEXT]) or _source_of(block) if kind != "panic" else None
    return Complaint(
        kind,
        text,
        where,
        source[1] if source else None,
        owner,
        block[0].seq,
        taints=head.taints,
        reason=why.name,
        cause=why.cause,
        words=why.words,
        follows_crash=why.follows_crash,
        task=why.task,
        callee=None if owner and where and "+" in where else why.callee,
    )


def _work_in(block: Sequence[Record], modules: Collection[str] | None) -> tuple[str, str] | None:
    """The function of the work item that a worker is at: one that waits in its last call left no frame."""
    for record in block:
        work = _WORK.match(record.text[:_MAX_TEXT])
        if work and (modules is None or work["module"] in modules):
            return work[1], work["module"]
    return None


def _words_of_warn(before: Sequence[Record]) -> str | None:
    for index, record in enumerate(before):
        if _CUT.search(record.text[:_MAX_TEXT]):
            return before[index + 1].text if index + 1 < len(before) else None
    # A report that was pasted without its first line.
    last = before[-1].text if before else ""
    return last if _REFCOUNT.match(last) else None


def _words_after(block: Sequence[Record]) -> str | None:
    text = block[1].text if len(block) > 1 else ""
    return None if not text.strip() or _NO_WORDS.match(text) else text


def _source_of(block: Sequence[Record]) -> re.Match[str] | None:
    for record in block[1:4]:
        if found := re.search(r"^kernel BUG at (\S{1,400}:\d{1,7})!", record.text[:_MAX_TEXT]):
            return found
    return None


def _where(
    block: Sequence[Record], modules: Collection[str] | None, head: str, *, waits: bool
) -> tuple[str | None, str | None]:
    """The place of a report: the first frame in `modules` (None: in any), else where the kernel stood.
    `head`: its first line, with the words of a WARN. `waits`: the report is about a task that waits, or may
    not.

    Frames marked `? `, which the unwinder does not vouch for, serve where no other is in a module: after
    a jump to nowhere there is nothing better.
    """
    places = [_IN_HEAD.search(head[:_MAX_TEXT])]
    doubtful: list[re.Match[str] | None] = []
    for record in block[1:]:
        text = record.text[:_MAX_TEXT]
        is_known = any(p and not _REPORTER.match(p[1]) for p in places)
        caller = None if is_known else _CALLER.search(text)
        frame = _FRAME.search(text) or _FROM.search(text)
        places.append(_AT.search(text) or frame or _LOCKER.search(text) or caller)
        doubtful.append(_DOUBTFUL.search(text))
    known = [p for p in places if p]
    own = [p for p in known + [d for d in doubtful if d] if p[2] and (modules is None or p[2] in modules)]
    frames = own or [p for p in known if not _REPORTER.match(p[1])]
    if waits and not own:
        frames = [p for p in frames if not _WAITER.match(p[1])] or frames
    first = frames[0] if frames else None
    if first is None:
        return None, None
    return (f"{first[1]} [{first[2]}]", first[2]) if first[2] else (first[1], None)
