"""Which call of the module's own source probably made what is left."""

import re
from collections.abc import Iterator, Sequence

from kscaffold import lazy
from kscaffold.diagnosis.residue.kinds import KINDS, Residue
from kscaffold.records import replace

_COMMENT = lazy.pattern(r"//[^\n]*|/\*.*?\*/", re.S)


def made_by(left: Residue, sources: Sequence[tuple[str, str]]) -> Residue:
    """The same with the call in `sources` that probably made it: that which names it, else the first of its
    kind. Where the kernel has lost the name, the call's own is taken.
    """
    words = [w for w in re.split(r"[\s/()]+", left.name) if w]
    found: list[tuple[int, str, str, str]] = []
    for file, text in sources:
        plain = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text)
        for hit in _calls(plain, KINDS[left.kind].makers):
            line = plain.count("\n", 0, hit.start()) + 1
            call = plain[hit.start() : plain.find(";", hit.start())]
            said = re.findall(r"\w{1,80}" if left.kind == "callback" else r'"([^"\n]{1,80})"', call)
            rank = 0 if set(said) & set(words) else 1
            function = call.partition("(")[0].strip()
            found.append((rank, f"{file}:{line}", said[0] if said else "", function))
    if not found:
        return left
    _, where, name, function = min(found, key=lambda f: f[0])
    if left.kind == "callback":
        return replace(left, where=where, undo=undo_of(name))
    if not left.crashed:
        undo = undo_of(function) if left.kind in ("memory", "vmalloc", "sysfs") else None
        return replace(left, where=where, undo=undo)
    declared = re.search(_DECLARED, "\n".join(text for _, text in sources))
    return replace(left, where=where, name=name or (declared[1] if declared else left.name))


# How a function that starts something stands in a source: by a macro's or an inline function's name.
_WRITTEN = {
    "__cpuhp_setup_state": r"cpuhp_setup_state\w*",
    "__register_binfmt": r"(?:register|insert)_binfmt",
    "__alloc_percpu": r"__alloc_percpu\w*|alloc_percpu\w*",
    "__free_pages": r"__free_pages?",
    "__tasklet_hi_schedule": r"tasklet_hi_schedule",
    "__tasklet_schedule": r"tasklet_schedule",
    "free_pages": r"free_pages?",
    "hrtimer_start_range_ns": r"hrtimer_start\w*",
    "kthread_create_on_node": r"kthread_(?:run|create)\w*",
    "kthread_create_worker_on_node": r"kthread_(?:run|create)_worker\w*",
    "pcpu_alloc_noprof": r"(?:__)?alloc_percpu\w*",
    "queue_delayed_work_on": r"(?:schedule|queue)_delayed_work\w*",
    "queue_work_on": r"(?:schedule|queue)_work\w*",
    "request_threaded_irq": r"request_(?:threaded_)?irq",
    "tracepoint_probe_register": r"register_trace_\w+|tracepoint_probe_register\w*",
}


def lines_of_call(function: str, sources: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """File and line of each call of an exported function, by whatever name a source has for it."""
    return [(file, line) for file, line, _ in _places(_WRITTEN.get(function, re.escape(function)), sources)]


def calls_of(functions: str, sources: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Where each call of these functions (a pattern) stands, as FILE:LINE, and what is called there."""
    return ((f"{file}:{line}", name) for file, line, name in _places(functions, sources))


def _places(functions: str, sources: Sequence[tuple[str, str]]) -> Iterator[tuple[str, int, str]]:
    for file, text in sources:
        plain = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text)
        for call in _calls(plain, functions):
            yield file, plain.count("\n", 0, call.start()) + 1, call[0].partition("(")[0].strip()


# What takes a call back, by the call's name; the first pattern that fits.
_UNDONE: tuple[tuple[str, str], ...] = (
    (r"(?:dev|inet6?)_add_(\w+)", r"the matching …_del_\1() or …_remove_\1()"),
    (r"call_s?rcu\w*", "rcu_barrier() (srcu_barrier() for SRCU)"),
    (r"tasklet_\w+", "tasklet_kill()"),
    (r"INIT_DELAYED_WORK\w*", "cancel_delayed_work_sync() (or destroy_workqueue())"),
    (r"INIT_WORK\w*", "cancel_work_sync() (or destroy_workqueue(), flush_work())"),
    (r"timer_setup\w*", "timer_delete_sync() (before 6.2: del_timer_sync(), timer_shutdown_sync())"),
    (r"cpuhp_setup_state_multi", "cpuhp_remove_multi_state()"),
    (r"cpuhp_setup_state(\w*)", r"cpuhp_remove_state\1()"),
    (r"ioremap\w*|of_iomap", "iounmap()"),
    (r"pci_iomap\w*", "pci_iounmap()"),
    (r"vmap", "vunmap()"),
    (r"memremap", "memunmap()"),
    (r"(idr|xa)_\w+", r"\1_destroy()"),
    (r"(sysfs|bus|class|driver|device)_create_(\w+)", r"\1_remove_\2()"),
    (r"((?:\w+_)?)register((?:_\w+)?)", r"\1unregister\2()"),
)


def undo_of(call: str) -> str | None:
    """The call that ends what `call` started or registered; None where none is known."""
    fits = ((re.fullmatch(pattern, call), undo) for pattern, undo in _UNDONE)
    return next((hit.expand(undo) for hit, undo in fits if hit), None)


# Whoever registers these gives them a name where they stand.
_DECLARED = r'\b(?:miscdevice|file_system_type|\w+_alg)\s+\w+\s*=\s*\{[^;"]*"([^"\n]{1,80})"'


def _calls(text: str, makers: str) -> list[re.Match[str]]:
    """The calls of these functions, and of macros of the file's own that stand for one."""
    macros = re.findall(rf"^[ \t]*#[ \t]*define[ \t]+(\w+)\([^\n]*\b(?:{makers})\s*\(", text, re.M)
    names = "|".join((*dict.fromkeys(macros), makers))
    calls = re.finditer(rf"\b(?:{names})\s*\(", text)
    return [c for c in calls if not text[text.rfind("\n", 0, c.start()) + 1 :].lstrip().startswith("#")]
