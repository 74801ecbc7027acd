"""The trace of one load: what ftrace wrote, and how far the load came by it.

The sources are tracepoints (module:*, initcall:*, syscalls:*_finit_module) and kprobe events of the group
`ks`, each named after its function, its return `FUNCTION_r`. Every anchor is optional: which functions a
kernel has as symbols depends on its compiler.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from kscaffold import lazy
from kscaffold.diagnosis.stages import ORDER
from kscaffold.records import dataclass, field

Status = Literal["passed", "failed", "not-reached", "unobserved"]

MAX_LINE = 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a trace. `time`: seconds on the trace clock. `name`: of the event, a syscall's as
    `sys_finit_module` (entry) and `sys_finit_module_r` (return). `value`: what a return event returned.
    """

    name: str
    tid: int
    time: float
    text: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class StageTime:
    """What is known of a stage. `microseconds`: None where no anchor of this kernel bounds it."""

    id: str
    status: Status
    microseconds: int | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """How far a load came.

    `reached`: the last stage that the trace shows it in, None without any anchor. `failed`: the stage an
    anchor's own return value blames. `init_ran`: whether init was called; None where the trace can't say.
    `returned`: what init returned. `errno`: what the system call returned, positive, 0 for success.
    `microseconds`: by stage id. `seen`: the anchors met. `counts`: how often each of them was met.
    """

    reached: str | None
    failed: str | None
    init_ran: bool | None
    returned: int | None
    errno: int | None
    microseconds: dict[str, int] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)


_LINE = lazy.pattern(
    r"\s{0,40}.{1,32}?-(?P<tid>\d{1,10})\s{1,12}(?:\([ \d-]{1,12}\) {1,4})?\[\d{1,5}\] {1,4}"
    r"(?:\S{3,8} {1,8})?(?P<time>\d{1,12}\.\d{1,9}): (?P<rest>.{1,900})"
)
_SYSCALL = lazy.pattern(r"(?P<name>sys_\w{1,40})(?:\(| -> (?P<ret>0x[0-9a-f]{1,16}))")
_NAMED = lazy.pattern(r"(?P<name>\w{1,64}): ?(?P<text>.{0,800})")
_RET = lazy.pattern(r"\bret=(?P<ret>-?\d{1,20}|0x[0-9a-f]{1,16})\b")

_MOST_ERRNO = 4095  # include/linux/err.h


def parse_trace(text: str) -> list[Event]:
    """The events of an ftrace `trace` file. Lines of any other form are passed over."""
    events: list[Event] = []
    for line in text.split("\n"):
        found = _LINE.match(line[:MAX_LINE])
        if found is None:
            continue
        tid, time, rest = int(found["tid"]), float(found["time"]), found["rest"]
        if call := _SYSCALL.match(rest):
            value = _signed(call["ret"]) if call["ret"] else None
            name = call["name"] + ("_r" if call["ret"] else "")
            events.append(Event(name, tid, time, rest, value))
        elif named := _NAMED.match(rest):
            ret = _RET.search(named["text"])
            events.append(
                Event(named["name"], tid, time, named["text"], _signed(ret["ret"]) if ret else None)
            )
    return events


def _signed(text: str) -> int:
    value = int(text, 16 if text.startswith("0x") else 10)
    # A long, or an error in a pointer, of a 32-bit kernel.
    if (1 << 32) - _MOST_ERRNO <= value < 1 << 32:
        return value - (1 << 32)
    return value - (1 << 64) if value >= 1 << 63 else value


# What each anchor means: entering it, the load is in this stage. Read from top to bottom in 6.1's order.
_ENTER = {
    "sys_finit_module": "syscall",
    "sys_init_module": "syscall",
    "capable": "permission",
    "kernel_read_file": "copy",
    "kernel_read_file_from_fd": "copy",
    "module_decompress": "copy",
    "load_module": "signature",
    "module_sig_check": "signature",
    "mod_verify_sig": "signature",
    "check_modstruct_version": "version",
    "same_magic": "version",
    "module_frob_arch_sections": "layout",
    "module_enforce_rwx_sections": "layout",
    "layout_symtab": "layout",
    "module_alloc": "layout",
    "execmem_alloc": "layout",
    "mod_tree_insert": "list",
    "init_param_lock": "layout",
    "resolve_symbol": "symbols",
    "apply_relocate_add": "relocate",
    "add_kallsyms": "relocate",
    "module_finalize": "relocate",
    "strndup_user": "arguments",
    "ftrace_module_init": "formation",
    "module_enable_ro": "formation",
    "ftrace_module_enable": "formation",
    "klp_module_coming": "formation",
    "parse_args": "parameters",
    "mod_sysfs_setup": "sysfs",
    "module_load": "init",
    "do_init_module": "init",
    "do_one_initcall": "init",
    "initcall_start": "init",
}
# Returning from it well, the load is in this stage.
_LEAVE = {
    "capable": "copy",
    "module_sig_check": "elf",
    "mod_tree_insert": "layout",
    "strndup_user": "formation",
    "parse_args": "sysfs",
    "mod_sysfs_setup": "init",
    "initcall_finish": "live",
}
# How a return value says no: zero …
_NO_ON_ZERO = frozenset({"capable", "check_modstruct_version", "same_magic", "module_alloc", "execmem_alloc"})
# … or an error, also in a pointer (negative as s64). No other function is blamed: what a void function
# leaves in the register is no answer, and load_module fails with whatever failed below it.
_NO_ON_ERROR = frozenset(
    {
        "kernel_read_file",
        "module_decompress",
        "module_sig_check",
        "module_frob_arch_sections",
        "module_enforce_rwx_sections",
        "apply_relocate_add",
        "module_finalize",
        "strndup_user",
        "klp_module_coming",
        "parse_args",
        "mod_sysfs_setup",
    }
)


def timeline(events: Sequence[Event]) -> Timeline:
    """How far one load came, by the events of the task that loaded.

    When the trace holds several loads (modprobe, BusyBox's second try), the last one counts.
    """
    own = _last_load(events)
    if not own:
        return Timeline(None, None, None, None, None)
    builder = _TimelineBuilder(own[0].time)
    for event in own:
        builder.step(event)
    return builder.timeline()


def _last_load(events: Sequence[Event]) -> list[Event]:
    starts = [i for i, e in enumerate(events) if e.name in ("sys_finit_module", "sys_init_module")]
    if starts:
        tid, events = events[starts[-1]].tid, events[starts[-1] :]
    else:
        known = [e for e in events if e.name in ("load_module", "module_load", "initcall_start")]
        if not known:
            return []
        tid = known[-1].tid
    return [e for e in events if e.tid == tid]


class _TimelineBuilder:
    """Walks through the events of one load and sums up the time in each stage."""

    def __init__(self, start: float) -> None:
        self.now: str | None = None
        self.since = start
        self.spent: dict[str, float] = {}
        self.failed: str | None = None
        self.init_started = False
        self.loaded = False  # the module_load event: everything before init is done
        self.returned: int | None = None
        self.errno: int | None = None
        self.counts: dict[str, int] = {}
        self.unwinding = False  # nothing after this is a stage

    def step(self, event: Event) -> None:
        name = event.name
        self.counts[name] = self.counts.get(name, 0) + 1
        if name in ("sys_finit_module_r", "sys_init_module_r"):
            if not self.unwinding:
                self._spend(event.time)
            self.unwinding = True
            if event.value is not None:
                # The call gives 0 or an error; POWER's is a positive number, and a flag says that it is one.
                self.errno = abs(event.value)
            return
        if self.unwinding:
            return
        if name == "module_load":
            self.loaded = True
        if name == "initcall_start":
            self.init_started = True
        if name == "module_free":
            self._spend(event.time)
            self.unwinding = True
            return
        if name == "initcall_finish" and event.value is not None:
            self.returned = event.value
            self._enter("live" if event.value >= 0 else "init", event.time)
            if event.value < 0:
                self.failed = "init"
                self.unwinding = True  # what the kernel undoes from here on is not init's time
            return
        if name.endswith("_r") and name[:-2] in _ENTER:
            self._leave(name[:-2], event)
        elif name in _ENTER and self._forward(name):
            self._enter(_ENTER[name], event.time)

    def _forward(self, name: str) -> bool:
        """Whether this anchor is one of the load's way, not a callee's: `capable` is called by many."""
        if self.init_started:
            return False
        if name == "capable":
            return self.now in (None, "syscall")
        # Firmware and policies are read with it too.
        return not name.startswith("kernel_read_file") or self.now in (None, "syscall", "permission", "copy")

    def _leave(self, function: str, event: Event) -> None:
        if self.init_started or (function == "capable" and self.now != "permission"):
            return
        value = event.value
        no = value is not None and (
            (function in _NO_ON_ZERO and value == 0) or (function in _NO_ON_ERROR and -4095 <= value < 0)
        )
        if no:
            self.failed = self.failed or _ENTER[function]
        elif function in _LEAVE:
            self._enter(_LEAVE[function], event.time)

    def _enter(self, stage: str, time: float) -> None:
        self._spend(time)
        self.now = stage

    def _spend(self, time: float) -> None:
        if self.now is not None:
            self.spent[self.now] = self.spent.get(self.now, 0.0) + max(0.0, time - self.since)
        self.since = time

    def timeline(self) -> Timeline:
        init_ran = True if self.init_started else None
        if init_ran is None and (self.failed or self.errno is not None or self.loaded):
            # initcall_start is a tracepoint of every kernel that has module_load: its absence counts.
            init_ran = False if self.loaded or self.failed or self.now is not None else None
        return Timeline(
            self.now,
            self.failed,
            init_ran,
            self.returned,
            self.errno,
            {stage: round(seconds * 1e6) for stage, seconds in self.spent.items()},
            frozenset(self.counts),
            dict(self.counts),
        )


def stages_of(reached: str | None, failed: str | None, times: dict[str, int]) -> tuple[StageTime, ...]:
    """The state of every stage in the kernel's order.

    `failed`: the stage that ended the load, None for one that went well or for none known. `reached`: the
    last stage it is known to have been in: what comes after it is unobserved when nothing is to blame.
    """
    stages: list[StageTime] = []
    last = ORDER.index(failed or reached) if failed or reached else -1
    for index, stage in enumerate(ORDER):
        status: Status
        if failed == stage:
            status = "failed"
        elif stage == "layout" and failed == "list" and times and stage not in times:
            status = "not-reached"  # 6.4 and later ask for the name before they reserve memory
        elif index < last or (index == last and reached == "live"):
            status = "passed"
        elif failed is not None:
            status = "not-reached"
        else:
            status = "unobserved"
        stages.append(StageTime(stage, status, times.get(stage)))
    return tuple(stages)


def enclosing_stage(stage: StageTime, stages: Sequence[StageTime]) -> str | None:
    """The stage whose time holds that of one which was passed and has no anchor on this kernel: the last
    one before it that has. None where there is none, or where the stage has a time of its own.
    """
    if stage.microseconds is not None or stage.status not in ("passed", "failed"):
        return None
    before = [s.id for s in stages[: ORDER.index(stage.id)] if s.microseconds is not None]
    return before[-1] if before else None


# Functions that return a pointer or a size: an error of theirs needs all 64 bits to be recognised.
_LONG = frozenset({"strndup_user", "parse_args", "module_alloc", "execmem_alloc", "kernel_read_file"})
# Events of other kinds; and functions that no kernel lets be probed, but each complains of in its log.
_NOT_PROBED = frozenset(
    {
        *("sys_finit_module", "sys_init_module", "module_load", "initcall_start"),
        *("ftrace_module_init", "ftrace_module_enable"),
    }
)


def probes(available: Iterable[str]) -> list[str]:
    """The lines for tracefs' kprobe_events: a probe on each anchor there is, and on its return if that tells.

    `available`: function names of available_filter_functions or /proc/kallsyms. The compiler may have
    added `.isra.N` or `.constprop.N` to a name; a `.part` or `.cold` is not the function.
    """
    found: dict[str, str] = {}
    for name in available:
        base, _, suffix = name.partition(".")
        if base not in _ENTER or base in _NOT_PROBED or not _WHOLE.fullmatch(suffix):
            continue
        # The plain name wins over a copy that the compiler made beside it.
        if base not in found or not suffix:
            found[base] = name
    lines: list[str] = []
    for base in _ENTER:
        if base not in found:
            continue
        lines.append(f"p:ks/{base} {found[base]}")
        if base in _NO_ON_ZERO | _NO_ON_ERROR or base in _LEAVE:
            kind = "s64" if base in _LONG else "u8" if base in _NO_ON_ZERO else "s32"
            lines.append(f"r:ks/{base}_r {found[base]} ret=$retval:{kind}")
    return lines


_WHOLE = lazy.pattern(r"(?:(?:isra|constprop)\.\d{1,4})?")


def anchors() -> list[str]:
    """The functions worth a probe, for a guest that tries them all: one it lacks is refused and skipped."""
    return [name for name in _ENTER if name not in _NOT_PROBED]
