"""Bugs of a module that went well so far: what its imports, its source and its locks in memory tell of them.

The kernel says nothing of these. Each is told only where no right module can look so.
"""

import functools
import re
from collections.abc import Collection

from kscaffold import lazy
from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.residue.source import calls_of, lines_of_call
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.flaws import Flaw
from kscaffold.load.source_files import sources_of
from kscaffold.targets.target import Target

_PAGES_FREED = frozenset(("free_pages", "__free_pages"))
_OBJECTS = lazy.pattern(r"_?_?k[mzc]alloc\w*|kmalloc_caches|random_kmalloc_\w+")
# What can neither hand pages to a module nor take memory of its own: who imports anything else may have got
# them there, or may have given it away, by a function of the kernel's that no list of ours has.
_HARMLESS = lazy.pattern(
    r"_?printk(?:_\w+)?|__printk_ratelimit|__dynamic_pr_debug|___ratelimit|panic|dump_stack|__warn_printk"
    r"|mem(?:cpy|set|move|cmp|chr|dup_user|scan)\w{0,4}|str(?:n|r|l|s|sc|nc)?(?:cpy|cat|cmp|chr|len|len_user|str|sep|casecmp|im|pbrk)|strncpy_from_user"
    r"|s(?:n|cn)?printf|vsnprintf|sscanf|kstrto\w+|simple_strto\w+|_ctype|sized_strscpy|kasprintf"
    r"|_?_?k[mzc]alloc\w*|kmalloc_caches|random_kmalloc_seed|krealloc\w*|kfree|kfree_sensitive|kstrdup\w*|kmemdup\w*"
    r"|free_percpu|__free_pages|free_pages|page_offset_base|vmemmap_base|phys_base"
    r"|__per_cpu_offset|this_cpu_off|cpu_number|pcpu_hot|__cpu_\w+_mask|nr_cpu_ids|__num_online_cpus|_?cpumask_\w+"
    r"|_find_\w+_bit\w*|debug_smp_processor_id|preempt_schedule\w*|__preempt_count\w*"
    r"|mutex_\w+|__mutex_init|_raw_\w+|__raw_\w+_init|down\w*|up|up_(?:read|write)|__init_rwsem|rt_\w+lock\w*"
    r"|__list_(?:add|del)_\w+|__rcu_read_\w+|synchronize_rcu|lockdep_\w+|refcount_warn_saturate"
    r"|_?_?copy_(?:to|from)_user|__(?:get|put)_user\w*|__check_object_size|_inline_copy_\w+|__copy_overflow"
    r"|__(?:un)?register_chrdev\w*|(?:un)?register_chrdev\w*|alloc_chrdev_region|cdev_(?:init|add|del)|misc_(?:de)?register"
    r"|class_(?:create|destroy|register|unregister)|__class_create|device_(?:create|destroy)|no_llseek|noop_llseek"
    r"|proc_(?:create|remove|mkdir)\w*|remove_proc_\w+|seq_(?:printf|puts|putc|write|read|lseek|open|release)|single_\w+"
    r"|simple_(?:open|attr_\w+|read_\w+|write_\w+)|debugfs_(?:create|remove|lookup)\w*|default_llseek"
    r"|sysfs_(?:emit|create|remove)_?\w*|kobject_(?:create_and_add|put)|kernel_kobj|param_\w+|__this_module|module_layout"
    r"|jiffies\w*|ktime_get\w*|msleep\w*|usleep_range\w*|__u?delay|__const_udelay|schedule|schedule_timeout\w*|__cond_resched"
    r"|(?:init_timer_key|timer_init_key|mod_timer|add_timer|del_timer\w*|timer_(?:delete|shutdown)\w*|hrtimer_\w+)"
    r"|system(?:_\w+)?_wq|queue_(?:delayed_)?work_on|alloc_workqueue\w*|destroy_workqueue|__flush_workqueue|flush_work"
    r"|cancel_(?:delayed_)?work\w*|delayed_work_timer_fn|kthread_(?:create_on_node|stop|should_stop|bind)|wake_up_process"
    r"|__init_waitqueue_head|__wake_up\w*|prepare_to_wait\w*|finish_wait|init_wait_entry|wait_for_completion\w*|complete"
    r"|__init_swait_queue_head|current_task|const_pcpu_hot|get_random_\w+|__fentry__|mcount|_mcount|ftrace_\w*caller"
    r"|__x86_(?:return|indirect)_thunk\w*|__stack_chk_(?:fail|guard)|__ubsan_\w+|__asan_\w+|__kasan_\w+|__tsan_\w+"
    r"|__sanitizer_\w+|fortify_panic|__fortify_panic|__rust\w*|retpoline_\w+|alt_cb_\w+|cpu_hwcaps|system_cpucaps"
)
# Of the names of all functions in load/unfreed.py that make something.
_PARTS_OF_MAKERS = (
    *("alloc", "_get", "get_", "dup", "asprintf", "create", "_open", "firmware", "bioset_init", "_cred"),
    *("pin_", "kern_", "user_path", "fget", "dget", "d_find", "lookup_one", "xa_store", "table_init"),
    *("mempool_init", "srcu"),
)
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
_LOCKS = lazy.pattern(r"mutex_\w+|down_(?:read|write)\w*|rwsem_\w+|__init_rwsem|_raw_spin_\w+")


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
    that. One that others need may leave to them what it took, or have it from them.
    """
    if quick.exports(ko):
        return []

    @functools.cache
    def sources() -> tuple[tuple[str, str], ...]:
        return sources_of([ko])

    def says(word: str) -> bool:
        return not sources() or any(word in text for _, text in sources())

    found, needs = [], quick.depends(ko)
    freed = _PAGES_FREED & set(imports)
    if freed and not needs and _is_harmless(imports) and any(map(_OBJECTS.fullmatch, imports)):
        text = f"likely: {ko.module} calls free_pages(), and nothing in it allocates pages"
        where, _ = next(calls_of(r"(?:__)?free_pages?", sources()), (None, ""))
        found.append(_flaw("KS368", text, where, "kfree() for what kmalloc() gave"))
        return found  # and what it gave back so is not missing
    if not any(part in name for name in imports for part in _PARTS_OF_MAKERS):
        return found
    from kscaffold.load.unfreed import unfreed  # start-up time: many modules ask for nothing

    # The sanitizer, which a copy's own calls go through, tells what memory is left, and whose.
    memory = not any(name.startswith("ks_") for name in quick.imports(ko))
    for left in unfreed(imports, needs, is_harmless=_is_harmless, says=says, memory=memory):
        where, call = next(calls_of(left.written, sources()), (None, left.made[0]))
        text = f"likely: {ko.module} calls {call}(), and never {left.free}()"
        found.append(
            _flaw("KS398", text, where, f"call {left.free}() in exit, and where init fails after it")
        )
    return found


def _is_harmless(functions: Collection[str]) -> bool:
    """Whether none of these functions hands pages to who calls it, or takes memory of his."""
    return all(map(_HARMLESS.fullmatch, functions))


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
    if kind == "spinning":
        text = f"the spinlock {name} is still held: whoever takes it next waits for ever"
        return _flaw("KS726", text, _line_of(ko, name), "spin_unlock() on every path, error paths too")
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
