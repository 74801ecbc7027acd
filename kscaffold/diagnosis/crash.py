"""Finds what the kernel itself complained of: oops, BUG, WARN, lockups and their kin.

The kernel's reports have a shape: a head line, then `CPU: n PID: n Comm:`, registers, a call trace. The
shape is asked for, not a word: a module may print "BUG" as often as it likes.
"""

import re
from collections.abc import Sequence
from functools import cache

from kscaffold import lazy
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
    refcount, list-corruption, stack-overflow, memory, locking, init-state. `text`: the kernel's own line.
    `where`: `function+0xoffset/0xsize [module]`, the first frame in the module asked about, else the
    reported one.
    `source`: `file:line` where the kernel said it (BUG, WARN). `module`: whose code `where` is in.
    `seq`: the head line's sequence number, `index` its place among the records that were looked at.
    `taints`: the bits of kernel.tainted of which the kernel sets one with such a report; 0: none.
    `reason`: a kind narrower than `kind` that the lines beside the head prove (crash_reason). `cause`: what
    happened, where the address says it. `words`: the processor's status word and its meaning.
    `follows_crash`: the kernel had crashed before. `task`: the name and PID of the task that ran it.
    `whole`: False where the paste ends before the report does.
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


@dataclass(frozen=True, slots=True)
class _Head:
    """How a kind of report begins. `body`: what must follow within the block for it to be one. `taints`:
    as in Complaint.
    """

    kind: str
    pattern: re.Pattern[str]
    body: re.Pattern[str] | None
    worst_level: str = "warn"  # the kernel never says it at a lower level than this
    taints: int = 0


# `Pid:` is of kernels before Linux kernel commit a43cb95d547a "dump_stack: unify debug information printed by
# show_regs()" (in v3.10). A report that was cut off when it was pasted ends after `Modules linked in`.
_TASK = lazy.pattern(
    r"^CPU: \d{1,5} (?:UID: \d{1,10} )?PID: \d{1,10} Comm: |^(?:RIP: |pc : |epc\s{1,3}: |PC is at |NIP[: ])"
    r"|^ ?Call [Tt]race:|^Pid: \d{1,10}, comm: |^Modules linked in: |^Krnl PSW : |^Process \S{1,15} \(pid: "
)
# TAINT_DIE; TAINT_SOFTLOCKUP; TAINT_WARN, and those that WARN_TAINT() sets instead: add_taint() in
# oops_end(), watchdog_timer_fn(), __warn() and __schedule_bug().
DIED, _LOCKED_UP, _WARNED = 1 << 7, 1 << 14, 1 << 9 | 1 << 2 | 1 << 10 | 1 << 11
REPORTED = DIED | 1 << 9
"""The bits of kernel.tainted that tell of a crash or a WARN, whoever did it."""
_CUT = lazy.pattern(r"^-{8,16}\[ cut here \]-{8,16}$")
_SOURCE = lazy.pattern(r"(?: at |^WARNING: |^UBSAN: [\w-]{1,40} in )(\S{1,400}?:\d{1,7})\b")

# No report begins without one of these words. Looked for first: most loads have none of them, and the
# patterns below take 5 ms to compile.
_MARK = lazy.pattern(
    r"BUG|Oops|WARNING: |UBSAN: |panic|[lL](?:ockup|OCKUP)|stall|blocked |corruption|double add|fault|"
    r"Unable to handle|Internal error|NX-protected|: [0-9a-f]{4} (?:ilc:\d )?\[#|\[#\d|returned with |"
    r"Kernel attempted|SError|Insufficient stack"
)


@cache
def _heads() -> tuple[_Head, ...]:
    return (*_of_tasks(), *_of_damage())


def _of_tasks() -> tuple[_Head, ...]:
    """Of what the kernel says of tasks that do not go on, or that do what their context forbids."""
    return (
        _died("stack-overflow", r"^Kernel panic - not syncing: Corrupt kernel stack"),  # s390's
        _Head("panic", re.compile(r"^Kernel panic - not syncing: "), None, "emerg"),
        _Head(
            "soft-lockup",
            re.compile(r"^(?:(?:NMI )?watchdog: )?BUG: soft lockup - CPU#\d+ stuck for \d+s! \["),
            _TASK,
            taints=_LOCKED_UP,
        ),
        _Head("soft-lockup", re.compile(r"^BUG: workqueue lockup - pool "), None),
        _Head(
            "hard-lockup", re.compile(r"^(?:NMI watchdog: )?Watchdog detected hard LOCKUP on cpu \d+"), _TASK
        ),
        _Head(
            "rcu-stall",
            re.compile(r"^(?:rcu: )?INFO: rcu_\w{1,20} (?:self-)?detected (?:expedited )?stall"),
            re.compile(r"^rcu:\s{1,4}\S|\(.{0,20}t=\d{1,10} jiffies|^ ?Call [Tt]race:"),
        ),
        _Head(
            "hung-task",
            re.compile(r"^INFO: task .{1,80}:\d+ blocked (?:in I/O wait )?for more than \d+ seconds\."),
            re.compile(r"^task:.{1,32} {1,24}(?:state|pid):|^ ?Call [Tt]race:|disables this message"),
        ),
        _warned("atomic", r"^BUG: scheduling while atomic: .{1,64}/\d+/0x[0-9a-f]{8}"),
        _warned("atomic", r"^BUG: sleeping function called from invalid context at \S"),
        _Head("atomic", re.compile(r"^BUG: workqueue leaked (?:lock or )?atomic"), _TASK),
    )


def _of_damage() -> tuple[_Head, ...]:
    """Of what it says of memory, of its own data, and of code that went wrong."""
    return (
        _died("nx", r"^kernel tried to execute NX-protected page"),
        _died("stack-overflow", r"^BUG: (?:[#\w]{1,12} )?stack guard page was hit"),
        _died("stack-overflow", r"^Insufficient stack space to handle exception!"),
        _Head("memory", re.compile(r"^BUG: (?:KASAN|KFENCE|KCSAN|KMSAN): "), _TASK),
        _Head(
            "memory",
            re.compile(r"^BUG (?:kmalloc-)?\S{1,64} \([^)]{1,80}\): "),
            re.compile(r"^-{40,}$|^(?:Slab|Object|INFO: \w{1,20}) "),
        ),
        _Head("memory", re.compile(r"^BUG: Bad page "), _TASK),
        _Head("memory", re.compile(r"^BUG: Bad rss-counter "), None),
        _Head(
            "locking",
            re.compile(r"^BUG: spinlock (?:bad magic|lockup suspected|recursion|wrong )"),
            re.compile(r"^ lock: |^ ?Call [Tt]race:"),
        ),
        _Head(
            "locking",
            re.compile(
                r"^WARNING: (?:possible (?:circular|recursive) locking|inconsistent lock state|"
                r"bad unlock balance|held lock freed|suspicious RCU usage|possible irq lock inversion|"
                r"(?:HARD|SOFT)IRQ-safe)"
            ),
            None,
        ),
        *_faults(),
    )


def _faults() -> tuple[_Head, ...]:
    """Of code that did what it may not."""
    return (
        _Head(
            "list-corruption",
            re.compile(r"^list_(?:add|del) (?:double add|corruption)[.,: ]"),
            _TASK,
            taints=DIED | _WARNED,
        ),
        _died("bug", r"(?i:^kernel BUG at \S{1,400}!$)"),
        _died("oops", r"^BUG: (?:[kK]ernel NULL pointer dereference|[uU]nable to handle )"),
        # mips and loongarch name the processor first.
        _died("oops", r"^(?:CPU \d{1,4} )?Unable to handle kernel "),
        _died("oops", r"^Kernel attempted to (?:read|write|access|execute) user page "),
        _died("oops", r"^Unhandled fault: [\w ()-]{3,80} at 0x[0-9a-f]{8,16}$|^SError Interrupt on CPU\d"),
        # riscv's and mips' die().
        _died("oops", r"^(?:Oops|Kernel bug detected|Kernel BUG|[A-Z][\w /-]{4,60}) ?\[#\d{1,5}\]:?$"),
        # s390's, with the instruction's length.
        _died("oops", r"^[A-Za-z][\w :-]{2,60}: [0-9a-f]{4} ilc:\d \[#\d"),
        _died("oops", r"^(?:Oops: )?general protection fault[,:]"),
        _died("oops", r"^(?:Oops|Internal error): .{1,120}\[#\d+\]"),
        # x86's __die(), whatever the reason: `divide error`, `int3`, 5.10's `kernel stack overflow (…)`.
        _died("oops", r"^[a-z][\w ()-]{2,60}: [0-9a-f]{4} \[#\d"),
        _warned("warn", r"^WARNING: (?:CPU: \d+ PID: \d+ )?at \S{1,400}:\d|^WARNING: \S{1,400}:\d+ at "),
        _Head(
            "undefined",
            re.compile(r"^UBSAN: [\w-]{1,40} in \S{1,400}:\d+:\d+$"),
            re.compile(
                r"^(?:index|load of|shift exponent|left shift|signed|unsigned|division|negation|member|"
                r"null pointer|value|applying|calling) .|" + _TASK.pattern
            ),
        ),
        # These are the words of a WARN, whose report is theirs.
        _warned("init-state", _INIT_STATE.pattern),
    )


def _died(kind: str, pattern: str) -> _Head:
    return _Head(kind, re.compile(pattern), _TASK, taints=DIED)


def _warned(kind: str, pattern: str) -> _Head:
    return _Head(kind, re.compile(pattern), _TASK, taints=_WARNED)


_NO_WORDS = lazy.pattern(
    r"(?:Modules linked in|CPU|Pid|Hardware name|RIP|Workqueue|Call [Tt]race): |[\d ]|-{4}"
)
_REFCOUNT = lazy.pattern(r"^refcount_t: ")
_INIT_STATE = lazy.pattern(r"^initcall \S{1,300}.{0,80} returned with ")
_PLACE = r"([A-Za-z_][\w.$]{0,200}\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})(?: \[([\w-]{1,64}))?"
# Kernels before Linux kernel commit bb5e5ce545f2 "x86/dumpstack: Remove kernel text addresses from stack
# dump" (in v4.10) print the address before the function's name, and that of RIP twice.
_ADDRESS = r"(?: ?\[<?[0-9a-f]{8,16}>?\] ?){0,2}"
_FRAME = lazy.pattern(rf"^ ?{_ADDRESS}" + _PLACE)
_DOUBTFUL = lazy.pattern(rf"^ ?{_ADDRESS}\? (?!__pfx_)" + _PLACE)
# Where the machine stood, as x86, arm, arm64, riscv, mips, powerpc, s390 and loongarch print it.
_AT = lazy.pattern(
    r"^(?:RIP: [0-9a-f]{4}:|E?IP: |PC is at |PC: (?=\[)|pc : |epc\s{1,3}: (?:[0-9a-f]{8,16} )?|NIP (?=\[)|"
    rf"Krnl PSW : [0-9a-f]{{16}} [0-9a-f]{{16}} \(| {{0,3}}ERA: [0-9a-f]{{16}} ){_ADDRESS}" + _PLACE
)
# Functions that a report itself goes through: the place is below them.
_REPORTER = lazy.pattern(
    r"(?:dump_|show_)(?:stack|backtrace)|__schedule|__warn|warn_slowpath|__ubsan|ubsan_epilogue|"
    r"exc_control_protection|do_kernel_cp_fault|(?:__)?fortify_|usercopy_abort|__check_object_size"
)
_IN_HEAD = lazy.pattern(r"\b" + _PLACE)
_END = lazy.pattern(r"^---\[ end (?:trace|Kernel panic)|^={60,70}$")


def harmless_complaints(found: Sequence[Complaint], tainted: int | None = None) -> tuple[Complaint, ...]:
    """The complaints that a kernel which still runs can have made: a panic would have been the kernel's end.

    `tainted`: kernel.tainted after the complaints, None where nobody read it. A complaint whose taint bit is
    not set was printed by a module or a program, however well the lines imitate the kernel's.
    """
    true = [c for c in found if c.kind != "panic"]
    return tuple(c for c in true if tainted is None or not c.taints or c.taints & tainted)


def may_have_complaint(records: Sequence[Record]) -> bool:
    """Whether complaints() may find one: its first and cheap question."""
    return any(_MARK.search(r.text[:_MAX_TEXT]) for r in records)


# A head counts without the rest of its report where a paste has at most so many lines after the head.
_CUT_OFF = 8


def complaints(
    records: Sequence[Record], module: str | None = None, *, cut_off: bool = False
) -> list[Complaint]:
    """What the kernel complained of in these records, oldest first.

    `module`: the kernel's name (`ret_1`) of the module whose frames are preferred for `where`. Records
    that programs wrote to /dev/kmsg are not the kernel's words and are passed over. `cut_off`: the records
    are a paste, at whose end a head may stand without the rest of its report.
    """
    places = [i for i, r in enumerate(records) if r.facility == 0]
    own = [records[i] for i in places]
    found: list[Complaint] = []
    end = 0  # the lines before this index belong to the report before
    for index, record in enumerate(own):
        head = _head(record)
        if head is None or (index < end and head.kind != "panic"):
            continue
        block = _block(own, index)
        whole = head.body is None or any(head.body.search(r.text[:_MAX_TEXT]) for r in block[1:])
        if not whole and not (cut_off and len(own) - index <= _CUT_OFF):
            continue
        complaint = _complaint(head, block, own[max(0, index - 3) : index], module)
        found.append(replace(complaint, index=places[index], whole=whole))
        if head.body is not None:
            end = index + len(block)
    return found


def _head(record: Record) -> _Head | None:
    text = record.text[:_MAX_TEXT]
    if not _MARK.search(text):
        return None
    for head in _heads():
        if head.pattern.search(text):
            low = record.level is not None and LEVELS.index(record.level) > LEVELS.index(head.worst_level)
            return None if low else head
    return None


def _block(records: Sequence[Record], start: int) -> Sequence[Record]:
    """The lines of one report: to its end mark, or to the next report's `cut here`."""
    for index in range(start + 1, min(len(records), start + _MAX_BLOCK)):
        text = records[index].text[:_MAX_TEXT]
        if _END.search(text):
            return records[start : index + 1]
        # A BUG's `cut here` comes between the list's complaint and its registers.
        if _CUT.search(text) and index > start + 2:
            return records[start:index]
    return records[start : start + _MAX_BLOCK]


def _complaint(
    head: _Head, block: Sequence[Record], before: Sequence[Record], module: str | None
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
        elif words and _INIT_STATE.match(words):
            kind = "init-state"
        text = f"{words} ({text})" if words else text
    if kind == "oops" and any(r.text.startswith("kernel tried to execute NX-protected") for r in before):
        kind = "nx"
    where, owner = _where(block, module)
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
    )


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


def _where(block: Sequence[Record], module: str | None) -> tuple[str | None, str | None]:
    """The place of a report: the first frame in `module` (None: in any), else where the kernel stood.

    Frames marked `? `, which the unwinder does not vouch for, serve where no other is in the module: after
    a jump to nowhere there is nothing better.
    """
    places = [_IN_HEAD.search(block[0].text[:_MAX_TEXT])]
    doubtful: list[re.Match[str] | None] = []
    for record in block[1:]:
        text = record.text[:_MAX_TEXT]
        places.append(_AT.search(text) or _FRAME.search(text))
        doubtful.append(_DOUBTFUL.search(text))
    known = [p for p in places if p]
    own = [p for p in known + [d for d in doubtful if d] if p[2] and p[2] == (module or p[2])]
    frames = own or [p for p in known if not _REPORTER.match(p[1])]
    first = frames[0] if frames else None
    if first is None:
        return None, None
    return (f"{first[1]} [{first[2]}]", first[2]) if first[2] else (first[1], None)
