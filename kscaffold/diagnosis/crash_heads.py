"""How each kind of the kernel's reports of a crash or a bug begins."""

import re
from functools import cache

from kscaffold import lazy
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Head:
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
TASK = lazy.pattern(
    r"^CPU: \d{1,5} (?:UID: \d{1,10} )?PID: \d{1,10} Comm: |^(?:RIP: |pc : |epc\s{1,3}: |PC is at |NIP[: ])"
    r"|^ ?Call [Tt]race:|^Pid: \d{1,10}, comm: |^Modules linked in: |^Krnl PSW : |^Process \S{1,15} \(pid: "
)
# TAINT_DIE; TAINT_SOFTLOCKUP; TAINT_WARN, and those that WARN_TAINT() sets instead: add_taint() in
# oops_end(), watchdog_timer_fn(), __warn() and __schedule_bug().
DIED, _LOCKED_UP, _WARNED = 1 << 7, 1 << 14, 1 << 9 | 1 << 2 | 1 << 10 | 1 << 11
REPORTED = DIED | 1 << 9
"""The bits of kernel.tainted that tell of a crash or a WARN, whoever did it."""
INIT_STATE = lazy.pattern(r"^initcall \S{1,300}.{0,80} returned with ")
# No report begins without one of these words. Looked for first: most loads have none of them, and the
# patterns below take 5 ms to compile.
MARK = lazy.pattern(
    r"BUG|Oops|WARNING: |UBSAN: |panic|[lL](?:ockup|OCKUP)|stall|blocked |corruption|double add|fault|"
    r"Unable to handle|Internal error|NX-protected|: [0-9a-f]{4} (?:ilc:\d )?\[#|\[#\d|returned with |"
    r"\[ INFO: |bus error, |tried to |attempted to be |nobody cared|^sysctl |Kernel attempted|SError|"
    r"Insufficient stack"
)


@cache
def heads() -> tuple[Head, ...]:
    """All of them; the first that fits a line counts."""
    return (*_of_tasks(), *_of_damage())


def _of_tasks() -> tuple[Head, ...]:
    """Of what the kernel says of tasks that do not go on, or that do what their context forbids."""
    return (
        _died("stack-overflow", r"^Kernel panic - not syncing: Corrupt kernel stack"),  # s390's
        Head("panic", re.compile(r"^Kernel panic - not syncing: "), None, "emerg"),
        Head(
            "soft-lockup",
            re.compile(r"^(?:(?:NMI )?watchdog: )?BUG: soft lockup - CPU#\d+ stuck for \d+s! \["),
            TASK,
            taints=_LOCKED_UP,
        ),
        Head("soft-lockup", re.compile(r"^BUG: workqueue lockup - pool "), None),
        Head(
            "hard-lockup", re.compile(r"^(?:NMI watchdog: )?Watchdog detected hard LOCKUP on cpu \d+"), TASK
        ),
        Head(
            "rcu-stall",
            re.compile(r"^(?:rcu: )?INFO: rcu_\w{1,20} (?:self-)?detected (?:expedited )?stall"),
            re.compile(r"^rcu:\s{1,4}\S|\(.{0,20}t=\d{1,10} jiffies|^ ?Call [Tt]race:"),
        ),
        Head(
            "hung-task",
            re.compile(r"^INFO: task .{1,80}:\d+ blocked (?:in I/O wait )?for more than \d+ seconds\."),
            re.compile(r"^task:.{1,32} {1,24}(?:state|pid):|^ ?Call [Tt]race:|disables this message"),
        ),
        _warned("atomic", r"^BUG: scheduling while atomic: .{1,64}/\d+/0x[0-9a-f]{8}"),
        _warned("atomic", r"^BUG: sleeping function called from invalid context at \S"),
        Head("atomic", re.compile(r"^BUG: workqueue leaked (?:lock or )?atomic\b"), TASK),
    )


def _of_damage() -> tuple[Head, ...]:
    """Of what it says of memory, of its own data, and of code that went wrong."""
    return (
        _died("nx", r"^kernel tried to execute NX-protected page"),
        _died("stack-overflow", r"^BUG: (?:[#\w]{1,12} )?stack guard page was hit"),
        _died("stack-overflow", r"^Insufficient stack space to handle exception!"),
        Head("memory", re.compile(r"^BUG: (?:KASAN|KFENCE|KCSAN|KMSAN): "), TASK),
        Head(
            "memory",
            re.compile(r"^BUG (?:kmalloc-)?\S{1,64} \([^)]{1,80}\): "),
            re.compile(r"^-{40,}$|^(?:Slab|Object|INFO: \w{1,20}) "),
        ),
        Head("memory", re.compile(r"^BUG: Bad page "), TASK),
        Head("memory", re.compile(r"^BUG: Bad rss-counter |^BUG: non-zero pgtables_bytes "), None),
        Head(
            "locking",
            re.compile(r"^BUG: spinlock (?:bad magic|lockup suspected|recursion|wrong )"),
            re.compile(r"^ lock: |^ ?Call [Tt]race:"),
        ),
        Head(
            "locking",
            re.compile(
                # In brackets until v4.11.
                r"^(?:WARNING: |\[ (?:INFO|BUG): )(?:possible (?:circular|recursive) locking|"
                r"inconsistent lock state|bad unlock balance|held lock freed|suspicious RCU usage|"
                r"possible irq lock inversion|(?:HARD|SOFT)IRQ-safe)"
            ),
            None,
        ),
        *_faults(),
    )


def _faults() -> tuple[Head, ...]:
    """Of code that did what it may not."""
    return (
        Head(
            "list-corruption",
            re.compile(r"^list_(?:add|del) (?:double add|corruption)[.,: ]"),
            TASK,
            taints=DIED | _WARNED,
        ),
        _died("bug", r"(?i:^kernel BUG at \S{1,400}!$)"),
        _died("oops", r"^BUG: (?:[kK]ernel NULL pointer dereference|[uU]nable to handle )"),
        # mips and loongarch name the processor first.
        _died("oops", r"^(?:CPU \d{1,4} )?Unable to handle kernel "),
        _died("oops", r"^Kernel attempted to (?:read|write|access|execute) user page "),
        _died("oops", r"^Unhandled fault: [\w ()-]{3,80} at 0x[0-9a-f]{8,16}$|^SError Interrupt on CPU\d"),
        # do_be() of arch/mips/kernel/traps.c
        _died("oops", r"^(?:Data|Instruction) bus error, epc == [0-9a-f]{8,16}, "),
        # What mips' die() says where BUG() stands in the code.
        _died("bug", r"^Kernel bug detected ?\[#\d{1,5}\]:?$"),
        # riscv's and mips' die().
        _died("oops", r"^(?:Oops|Kernel BUG|[A-Z][\w /()-]{4,60}) ?\[#\d{1,5}\]:?$"),
        # s390's, with the instruction's length.
        _died("oops", r"^[A-Za-z][\w :-]{2,60}: [0-9a-f]{4} ilc:\d \[#\d"),
        _died("oops", r"^(?:Oops: )?general protection fault[,:]"),
        _died("oops", r"^(?:Oops|Internal error): .{1,120}\[#\d+\]"),
        # x86's __die(), whatever the reason: `divide error`, `int3`, 5.10's `kernel stack overflow (…)`.
        _died("oops", r"^[a-z][\w ()-]{2,60}: [0-9a-f]{4} \[#\d"),
        _warned("warn", r"^WARNING: (?:CPU: \d+ PID: \d+ )?at \S{1,400}:\d|^WARNING: \S{1,400}:\d+ at "),
        Head(
            "undefined",
            re.compile(r"^UBSAN: [\w-]{1,40} in \S{1,400}:\d+:\d+$"),
            re.compile(
                r"^(?:index|load of|shift exponent|left shift|signed|unsigned|division|negation|member|"
                r"null pointer|value|applying|calling) .|" + TASK.pattern
            ),
        ),
        *_of_objects(),
        # These are the words of a WARN, whose report is theirs.
        _warned("init-state", INIT_STATE.pattern),
    )


def _of_objects() -> tuple[Head, ...]:
    """Of what is said with dump_stack(), which taints nothing."""
    # lib/kobject.c has a prefix for all its lines in 6.12; an address that can't be hashed yet is
    # `(____ptrval____)` (lib/vsprintf.c).
    kobject = r"^(?:kobject: )?kobject:? (?:'.{0,100}' )?\([\w(){}]{1,20}\): "
    return (
        Head("kobject-twice", re.compile(kobject + "tried to init an initialized object"), TASK),
        Head("kobject", re.compile(kobject + "(?:tried to add an |attempted to be )"), TASK),
        Head("interrupt", re.compile(r"^irq \d{1,6}: nobody cared"), TASK),
        Head("sysctl", re.compile(r"^sysctl (?:duplicate entry: |table check failed: )"), None),
    )


def _died(kind: str, pattern: str) -> Head:
    return Head(kind, re.compile(pattern), TASK, taints=DIED)


def _warned(kind: str, pattern: str) -> Head:
    return Head(kind, re.compile(pattern), TASK, taints=_WARNED)
