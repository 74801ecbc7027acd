"""What a module may have left running in its kernel: a timer, a worker or a thread that outlives its code.

A callback that is left crashes some time after the unload, in memory that the kernel has taken back. The
kernel then has no names for that memory; the places of the module's sections, read before the unload, give
the names back.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kscaffold import lazy
from kscaffold.arch import table
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.power import ENDS_LATER
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.records import dataclass, replace
from kscaffold.targets.target import Target

if TYPE_CHECKING:
    from kscaffold.targets.timers import Timer

# What starts something, and what waits for its end, by the symbols that the kernel exports for it (those of
# 5.10 and those of later kernels). A macro or an inline function of a header ends in one of these.
_PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("mod_timer", "add_timer", "add_timer_on", "mod_timer_pending", "timer_reduce"),
        (
            "timer_delete_sync",
            "timer_shutdown_sync",
            "del_timer_sync",
            "timer_delete",
            "del_timer",
            "try_to_del_timer_sync",
            "timer_delete_sync_try",
            "timer_shutdown",
        ),
    ),
    (("hrtimer_start_range_ns",), ("hrtimer_cancel", "hrtimer_try_to_cancel")),
    (
        ("queue_delayed_work_on", "mod_delayed_work_on"),
        (
            "cancel_delayed_work_sync",
            "disable_delayed_work_sync",
            "flush_delayed_work",
            "cancel_delayed_work",
            "destroy_workqueue",
        ),
    ),
    (
        ("queue_work_on", "queue_work_node", "queue_rcu_work"),
        (
            "cancel_work_sync",
            "disable_work_sync",
            "flush_work",
            "destroy_workqueue",
            "flush_workqueue",
            "__flush_workqueue",
            "drain_workqueue",
            "rhashtable_free_and_destroy",  # its inline functions queue the table's own work
            "rhashtable_destroy",
        ),
    ),
    (
        (
            "kthread_create_on_node",
            "kthread_create_on_cpu",
            "kthread_create_worker",
            "kthread_create_worker_on_node",
        ),
        (
            "kthread_stop",
            "kthread_stop_put",
            "kthread_destroy_worker",
            "kthread_complete_and_exit",
            "complete_and_exit",
        ),
    ),
    (
        ("call_rcu", "call_srcu", "call_rcu_tasks"),
        (
            "rcu_barrier",
            "srcu_barrier",
            "rcu_barrier_tasks",
            # These call rcu_barrier() themselves.
            "unregister_pernet_subsys",
            "unregister_pernet_device",
            "tcf_unregister_action",
            "elv_unregister",
            "unregister_netdev",
            "rtnl_link_unregister",
            "rtnl_unlock",
        ),
    ),
    (("__tasklet_schedule", "__tasklet_hi_schedule"), ("tasklet_kill",)),
    (("irq_work_queue", "irq_work_queue_on"), ("irq_work_sync",)),
    (("request_threaded_irq", "request_any_context_irq"), ("free_irq",)),
    (("tracepoint_probe_register",), ("tracepoint_probe_unregister",)),
)
# What the kernel keeps, and who takes it back; nothing runs before somebody asks for it.
_KEPT = {
    "alloc_workqueue": ("destroy_workqueue",),
    "alloc_workqueue_noprof": ("destroy_workqueue",),
    "cdev_add": ("cdev_del", "cdev_device_del"),
    "genl_register_family": ("genl_unregister_family",),
    "sock_register": ("sock_unregister",),
    "proto_register": ("proto_unregister",),
    "dev_add_pack": ("dev_remove_pack", "__dev_remove_pack"),
    "inet_add_protocol": ("inet_del_protocol",),
    "inet6_add_protocol": ("inet6_del_protocol",),
    "rtnl_link_register": ("rtnl_link_unregister", "__rtnl_link_unregister"),
    "register_pernet_subsys": ("unregister_pernet_subsys",),
    "register_pernet_device": ("unregister_pernet_device",),
    "__register_binfmt": ("unregister_binfmt",),
    "register_key_type": ("unregister_key_type",),
    "register_sysrq_key": ("unregister_sysrq_key",),
    "tty_register_driver": ("tty_unregister_driver",),
    "__cpuhp_setup_state": ("__cpuhp_remove_state", "__cpuhp_remove_state_cpuslocked"),
    "shrinker_register": ("shrinker_free",),
}
_BEFORE = {"timer_delete_sync": " (before 6.2: del_timer_sync)"}
_STOPS = {
    "timer": "timer_delete_sync() (before 6.2: del_timer_sync)",
    "hrtimer": "hrtimer_cancel()",
    "delayed work": "cancel_delayed_work_sync()",
}
# What the kernel calls by itself, sooner or later.
_REGISTERS = lazy.pattern(
    r"(?!devm_)(?:\w+_)?(?<!un)register_(?:\w+_)?(?:notifier|k(?:ret)?probes?|ftrace_function|console|shrinker|net_hooks?)"
)

# What makes lists of the kernel's point into a module, but for what a photograph shows by its name.
_POINTS = lazy.pattern(
    r"(?!misc_|\w*chrdev|\w*blkdev|\w*netdev|\w*device|\w*driver|\w*filesystem|\w*sysctl|class_|bus_|crypto_)"
    r"(?:\w+_)?(?<!un)register(?:_\w+)?|dev_add_pack|inet6?_add_protocol|__cpuhp_setup_state"
)

_THIS_MODULE = ".gnu.linkonce.this_module"
# Who waits like this, or holds a reference to a module, may have seen the end of all that it started.
_WAITS = lazy.pattern(
    r"wait_for_completion\w*|prepare_to_wait\w*|finish_wait|wait_woken|\w*wait_on_bit\w*|\w*wait_var_event"
    r"|\w*module_get|\w*module_put\w*|synchronize_\w+"
)

_LONG, _SHORT = 1.5, 0.25  # s: nothing ends it; something does, and may come too early
_SOON = 0.6  # s that a run takes from init to exit on a machine of its own
_UNTOLD = 12.0  # s: nothing ends it, and the kernel does not tell when it is due
_ALL = "what waits for the end of all that init started"
_AWAIT = frozenset(
    (
        *("rcu_barrier", "srcu_barrier", "tasklet_kill", "cancel_work_sync", "cancel_delayed_work_sync"),
        *("timer_delete_sync", "del_timer_sync", "timer_shutdown_sync", "destroy_workqueue", "flush_work"),
    )
)
# As long as a pointer; s390x writes no zeros before it.
_RAW = lazy.pattern(r"\b0x([0-9a-f]{8,16})\b")
_FAULT = lazy.pattern(r"unable to handle page fault for address: (?P<at>[0-9a-f]{16})")
_ABSENT = lazy.pattern(r"^#PF: error_code\(0x[0-9a-f]{4}\) - not-present page")
# Kernels with CONFIG_ARCH_HAS_EXECMEM_ROX (x86, 7.x) keep the pages of a module that has gone, full of int3.
# The processor stands behind the one it met; an address without a name is in no module that is loaded.
_TRAP = lazy.pattern(r"^(?:Oops: )?int3: [0-9a-f]{4} \[#\d")
_NAMELESS = r"(?:%s)0x(?P<after>[0-9a-f]{8,16})$"


def without_end(imports: Collection[str]) -> tuple[str, str] | None:
    """The first function among these imports that starts what runs later, where none of them ends that, and
    the one that would.
    """
    known = set(imports)
    for starts, ends in _PAIRS:
        started = next((s for s in starts if s in known), None)
        if started and not known & set(ends):
            return started, ends[0]
    for name, ends in _KEPT.items():
        if name in known and not known & set(ends):
            return name, ends[0]
    for name in sorted(known):
        if _REGISTERS.fullmatch(name):
            end = name.replace("register_", "unregister_", 1)
            # What was registered one by one may be taken back all at once, and the other way round.
            if not known & {end, f"{end}s", end.removesuffix("s")}:
                return name, end
    return None


def seconds_to_watch(imports: Collection[str]) -> tuple[float, str]:
    """For how many seconds to watch a kernel after the unload of a module with these imports, and what the
    module's exit should call. 0 where the module starts nothing that could outlive it.
    """
    if found := without_end(imports):
        started, end = found
        did = "for" if started in _KEPT or _REGISTERS.fullmatch(started) else "for what"
        return _LONG, f"{end}(){_BEFORE.get(end, '')} {did} {started}(){'' if did == 'for' else ' started'}"
    known = set(imports)
    if known & ENDS_LATER:
        return _LONG, _ALL
    if any(known & set(starts) for starts, _ in _PAIRS):
        return _SHORT, _ALL
    return 0.0, _ALL


def may_start(ko: ModuleFile) -> bool:
    """Whether a module imports what starts something that its kernel's timers call."""
    return any(set(_imports(ko)) & set(starts) for starts, _ in _PAIRS)


def forgotten_end(ko: ModuleFile) -> tuple[str, str] | None:
    """As `without_end`, of a module that alone can end what it starts: it needs no other module and no other
    one needs it, and it neither waits for an end nor holds a reference to itself.
    """
    imports = _imports(ko)
    if any(map(_WAITS.fullmatch, imports)) or quick.depends(ko) or quick.exports(ko):
        return None
    return without_end(imports)


def _imports(ko: ModuleFile) -> list[str]:
    """The functions a module imports; where an instrument's helper stands in for one, the function itself."""
    return [name.removeprefix("ks_") for name in quick.imports(ko)]


@dataclass(frozen=True, slots=True)
class PendingCallback:
    """A callback that a module left pending. `function`: the module's function, or where its timer was;
    `seconds`: until it is due, and `late`: from then until the kernel calls it at the latest; `stop`: the
    function that exit should call.
    """

    function: str
    seconds: float
    stop: str
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class DanglingCallbacks:
    """A module that is about to go. `seconds` to watch its kernel afterwards; `stop`: what exit should call;
    `places`: addresses and sizes of its sections in the kernel, by name; `forgotten`: what forgotten_end()
    says; `armed`: the kernel's timers; `known`: what of the module is known to be pending.
    """

    module: str
    ko: ModuleFile
    seconds: float
    stop: str
    places: Mapping[str, tuple[int, int]]
    forgotten: tuple[str, str] | None = None
    armed: "tuple[Timer, ...]" = ()
    known: tuple[str, ...] = ()

    def pending(self, timers: "Iterable[Timer]") -> tuple[PendingCallback, ...]:
        """The callbacks by which the kernel's timers will call this module, and those whose timers are in
        its memory; the next one first.
        """
        found, before = set(), {timer.at: timer for timer in self.armed if timer.function}
        for now in timers:
            # What is in memory that was given back, with the module or by its exit, is not known any more.
            is_gone = not now.function or self._what(now.at)
            timer = before.get(now.at, now) if is_gone else now
            if not timer.function:
                continue
            work, *others = map(self._what, (timer.work, timer.function, timer.at))
            if name := work or next(filter(None, others), None):
                kind = "delayed work" if work else timer.kind
                found.add(PendingCallback(name, timer.seconds, _STOPS[kind], timer.late))
        return tuple(sorted(found, key=lambda one: one.seconds))

    def ran_before_exit(self, timers: "Iterable[Timer]", seconds: float) -> bool:
        """Whether one of `timers` called this module before its exit began, though it was not due soon.
        `timers`: those after init; `seconds`: from then until exit.
        """
        pending = [one for one in self.pending(timers) if one.function not in self.known]
        return any(_SOON < one.seconds < seconds for one in pending)

    def wake_ups(self, timers: "Iterable[Timer]") -> list[float]:
        """In how many seconds each task wakes that sleeps in the code of this module, by its stack."""
        return [t.seconds + t.late for t in timers if any(self._what(word) for word in t.stack)]

    def symbolize(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """The records with names for addresses of this module's, written as the kernel does."""
        return tuple(replace(r, text=_RAW.sub(self._name, r.text)) for r in records)

    def freed_address(self, records: Sequence[Record]) -> str | None:
        """The function or variable of the module whose memory the kernel missed, None where no record tells
        of missing memory. `records`: as the kernel wrote them, without the names of named().
        """
        for index, record in enumerate(records):
            near = [r.text[:100] for r in records[index + 1 : index + 6]]
            at = None
            if record.facility == 0 and (found := _FAULT.search(record.text[:300])):
                at = int(found["at"], 16) if any(map(_ABSENT.match, near[:3])) else None
            elif record.facility == 0 and _TRAP.match(record.text[:300]):
                nameless = re.compile(_NAMELESS % table.oops_pc())
                at = next((int(m["after"], 16) - 1 for m in map(nameless.match, near) if m), None)
            if at is not None and (what := self._what(at)):
                return what
        return None

    def _what(self, address: int) -> str | None:
        home = next((s for s, (at, size) in self.places.items() if at <= address < at + size), None)
        if home is None:
            return None
        found = quick.symbol_at(self.ko, home, address - self.places[home][0])
        return f"{found[0]}{'()' if '.text' in home else ''}" if found else home

    def _name(self, raw: re.Match[str]) -> str:
        address = int(raw[1], 16)
        for section, (at, size) in self.places.items():
            if at <= address < at + size and (found := quick.symbol_at(self.ko, section, address - at)):
                return f"{found[0]}+{found[1]:#x}/{found[2]:#x} [{self.module}]"
        return raw[0]

    def found_by(self, target: Target) -> tuple[str, ...]:
        """The module's functions, then its variables, that the kernel has pointers to after the unload, but
        for what is told already. Raises KscaffoldError where the target does not answer.
        """
        if not self.places:
            return ()
        low = min(at for at, _ in self.places.values())
        high = max(at + size for at, size in self.places.values())
        # What nothing takes back is looked for longer: in objects of the kernel's, too.
        seen = target.pointers(low, high, deep=self.seconds >= _LONG)
        names = {self._pointed_to(to) for _, to in seen} - {None}
        return tuple(name for _, name in sorted(filter(None, names)) if f"{name}()" not in self.known)

    def awaits(self, undo: str) -> bool:
        """Whether the module calls what waits for the end of callbacks: one of the functions in `undo`, where
        that is for those that come once (RCU's, works', timers'), not for what is registered.
        """
        waits = set(re.findall(r"\b\w++(?=\(\))", undo)) & _AWAIT
        return bool(waits & set(_imports(self.ko)))

    def _pointed_to(self, address: int) -> tuple[bool, str] | None:
        """The variable that an address is in (True and its name), or the function that begins there."""
        home = next((s for s, (at, size) in self.places.items() if at <= address < at + size), None)
        if home is None or home == _THIS_MODULE:
            return None
        found = quick.symbol_at(self.ko, home, address - self.places[home][0])
        if found is None or (".text" in home and found[1]):
            return None
        return ".text" not in home, found[0].removeprefix("__pfx_")


def find_dangling(ko: ModuleFile, module: str, target: Target) -> DanglingCallbacks | None:
    """What a loaded module may leave running; None where its imports show that nothing can be left."""
    imports = _imports(ko)
    seconds, stop = seconds_to_watch(imports)
    if not seconds and not any(_POINTS.fullmatch(name) for name in imports):
        return None
    with contextlib.suppress(KscaffoldError):  # a kernel that has ended lists nothing
        # One that took itself out of the list may have freed what its files in /sys are read from.
        if all(listed.name != module for listed in target.modules()):
            return None
    places: dict[str, tuple[int, int]] = {}
    for section, size in quick.resident(ko).items():
        with contextlib.suppress(OSError, KscaffoldError, ValueError):
            places[section] = int(target.read(f"/sys/module/{module}/sections/{section}"), 16), size
    armed, forgotten = target.timers() if seconds else [], forgotten_end(ko)
    if armed is None and forgotten and not _REGISTERS.fullmatch(forgotten[0]):
        # A kernel that has ended tells nothing, and is not waited for.
        is_gone = target.kind == "sandbox" and target.tainted() is None
        seconds = seconds if is_gone else _UNTOLD
    return DanglingCallbacks(module, ko, seconds, stop, places, forgotten, tuple(armed or ()))
