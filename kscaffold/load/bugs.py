"""Bugs of a module that went well so far: what its imports, its source and its locks in memory tell of them.

The kernel says nothing of these. Each is told only where no right module can look so.
"""

import re
from collections.abc import Collection

from kscaffold import lazy
from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.residue.source import lines_of_call
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.flaws import Flaw
from kscaffold.load.source_files import sources_of
from kscaffold.targets.target import Target

_PAGES_FREED = frozenset(("free_pages", "__free_pages"))
_OBJECTS = lazy.pattern(r"_?_?k[mzc]alloc\w*|kmalloc_caches|random_kmalloc_\w+")
# Who imports one of these may have got its pages from there.
_PAGES_GOT = lazy.pattern(
    r"(?!(?:__)?free_pages$|page_offset_base$|vmemmap_base$)\w*(?:page|folio|skb|frag|bio|mempool|dma|sg_|sgl_|zone"
    r"|iommu|shmem|vmap|remap|ring)\w*"
)
_PER_CPU = frozenset(("__alloc_percpu", "__alloc_percpu_gfp", "pcpu_alloc_noprof"))
# What takes per-cpu memory of a module's, and may free it.
_PER_CPU_GIVEN = lazy.pattern(r"\w*(?:netdev|rtnl|net_device|percpu|disk|nexthop|ip_tunnel|crypto|dst_)\w*")
_CALLBACK_MAKERS = frozenset(("init_timer_key", "timer_init_key", "hrtimer_init", "hrtimer_setup"))
_SLEEPERS = frozenset(
    (
        *("mutex_lock", "mutex_lock_interruptible", "mutex_lock_killable", "down", "down_interruptible"),
        *("down_read", "down_write", "msleep", "msleep_interruptible", "usleep_range", "usleep_range_state"),
        *("wait_for_completion", "wait_for_completion_timeout", "wait_for_completion_interruptible"),
        *("flush_work", "cancel_work_sync", "cancel_delayed_work_sync", "kthread_stop", "synchronize_rcu"),
        *("schedule_timeout", "schedule_timeout_interruptible", "schedule_timeout_uninterruptible"),
        *("vmalloc", "vzalloc", "vmalloc_noprof", "vzalloc_noprof"),
    )
)
# The kernel calls a function of this type in an interrupt or a softirq, and nowhere else.
_CALLBACK = lazy.pattern(
    r"^[ \t]*(?:static[ \t]+)?(?:void|enum[ \t]+hrtimer_restart)\s+(\w+)\s*"
    r"\(\s*struct\s+(timer_list|hrtimer)\s*\*\s*\w+\s*\)\s*\{",
    re.M,
)
_LOCKS = lazy.pattern(r"mutex_\w+|down_(?:read|write)\w*|rwsem_\w+|__init_rwsem")


def bugs_of(ko: ModuleFile, module: str, target: Target) -> tuple[Flaw, ...]:
    """The bugs of a module that is loaded, before its unload."""
    imports = {name.removeprefix("ks_") for name in quick.imports(ko)}
    found = [*_of_imports(ko, imports), *_of_callbacks(ko, imports)]
    if any(map(_LOCKS.fullmatch, imports)):
        from kscaffold.load.locks import wrong_locks  # start-up time: few modules have such locks

        found += [_of_lock(ko, lock.name, lock.kind) for lock in wrong_locks(ko, module, target)]
    return tuple(found)


def _of_imports(ko: ModuleFile, imports: Collection[str]) -> list[Flaw]:
    """What a module gives to a function that can't be right, or never gives back, as far as imports show
    that. One that others need, or that needs others, may have from them or leave to them.
    """
    found: list[Flaw] = []
    freed, per_cpu = _PAGES_FREED & set(imports), _PER_CPU & set(imports)
    if not freed and (not per_cpu or "free_percpu" in imports):
        return found
    if quick.depends(ko) or quick.exports(ko):
        return found
    if freed and any(map(_OBJECTS.fullmatch, imports)) and not any(map(_PAGES_GOT.fullmatch, imports)):
        text = f"likely: {ko.module} calls free_pages(), and nothing in it allocates pages"
        found.append(_flaw("KS368", text, _first_line(ko, freed), "kfree() for what kmalloc() gave"))
    rest = set(imports) - per_cpu
    if per_cpu and "free_percpu" not in imports and not any(map(_PER_CPU_GIVEN.fullmatch, rest)):
        text = f"likely: {ko.module} calls alloc_percpu(), and never free_percpu()"
        found.append(_flaw("KS398", text, _first_line(ko, per_cpu), "call free_percpu() in exit"))
    return found


def _first_line(ko: ModuleFile, functions: Collection[str]) -> str | None:
    sources = sources_of([ko])
    lines = [line for name in sorted(functions) for line in lines_of_call(name, sources)]
    return f"{lines[0][0]}:{lines[0][1]}" if lines else None


def _of_callbacks(ko: ModuleFile, imports: Collection[str]) -> list[Flaw]:
    """The callbacks of timers that call what may sleep: by the type in the source, and the calls in the
    object.
    """
    if not _CALLBACK_MAKERS & set(imports) or not _SLEEPERS & set(imports):
        return []
    found = []
    for file, text in sources_of([ko]):
        for hit in _CALLBACK.finditer(text):
            sleeps = _SLEEPERS & quick.calls(ko, hit[1])
            if sleeps:
                found.append(_sleeping(hit[1], hit[2], min(sleeps), file, text[: hit.start()], text))
    return found


def _sleeping(function: str, kind: str, sleeper: str, file: str, before: str, text: str) -> Flaw:
    start = before.count("\n") + 1
    lines = (line for _, line in lines_of_call(sleeper, [(file, text)]) if line >= start)
    said = f"{function}() is called by a {'timer' if kind == 'timer_list' else kind}, and calls {sleeper}()"
    where = f"{file}:{next(lines, start)}"
    return _flaw("KS256", f"{said}, which may sleep", where)


def _of_lock(ko: ModuleFile, name: str, kind: str) -> Flaw:
    if kind == "held":
        text = f"the lock {name} is still held: the task that loaded {ko.module} took it, and has ended"
        return _flaw("KS726", text, _line_of(ko, name))
    text = f"the lock {name} was overwritten: who has to wait for it follows a list that is not there"
    fix = "do not clear memory that has a lock in it, or mutex_init() it again afterwards"
    return _flaw("KS266", text, _line_of(ko, name), fix)


def _line_of(ko: ModuleFile, name: str) -> str | None:
    """Where a variable stands first in the source."""
    for file, text in sources_of([ko]):
        if hit := re.search(rf"\b{re.escape(name)}\b", text):
            return f"{file}:{text.count(chr(10), 0, hit.start()) + 1}"
    return None


def _flaw(code: str, text: str, where: str | None, fix: str | None = None) -> Flaw:
    entry = catalogue.entry(code)
    assert entry is not None
    return Flaw(code, "unload", text, fix or entry.fix, where)
