"""The parts of a photograph of a kernel, and which of them show what a module left.

sandbox/agent/agent.c takes them in the same order; a test compares the two.
"""

import re
from collections.abc import Iterable

SECTIONS = (
    "/proc",
    "/proc/fs",
    "/proc/driver",
    "/proc/bus",
    "/proc/self/net",
    "/sys/class",
    "/sys/bus",
    "/sys/devices/virtual",
    "/sys/devices/platform",
    "/sys/devices",
    "/sys/module",
    "/sys/kernel",
    "/sys/kernel/slab",
    "/sys/fs",
    "/sys/firmware",
    "/sys",
    "/sys/kernel/debug",
    "/dev",
    "/proc/devices",
    "/proc/meminfo",
    "/proc/zoneinfo",
    "/proc/vmallocinfo",
    "/proc/sys",
    "/proc/ioports",
    "/proc/iomem",
    "/proc/interrupts",
    "/proc/filesystems",
    "/proc/misc",
    "/proc/crypto",
    "/proc/slabinfo",
)

_FILES_OF_DRIVERS = ("/sys/class", "/sys/bus", "/sys/devices/virtual", "/sys/devices", "/dev")
_EVERYWHERE = tuple(
    s
    for s in SECTIONS
    if s not in ("/proc/crypto", "/proc/filesystems", "/proc/self/net", "/proc/zoneinfo", "/proc/slabinfo")
)
# What can leave nothing by itself: it reads, writes, waits, frees, or works on what another call makes.
_NEUTRAL = (
    r"_?printk|__fentry__|_mcount|__x86_\w+|__stack_chk_\w+|__get_user_\w+|__put_user_\w+"
    r"|_?copy_(?:to|from)_user|param_(?:ops|array_ops|get|set)_?\w*|k?free\w*|kv?free(?:_\w+)?"
    r"|v?free|str(?!ndup)\w+|mem(?:cpy|set|move|cmp|chr|scan|parse|weight|zero)\w*|sn?printf|scnprintf|kstrto\w+|simple_\w+|sscanf"
    r"|_?raw_(?:spin|read|write)_\w+|_raw_\w+|mutex_\w+|__mutex_\w+|up|down\w*"
    r"|__?init_\w+_(?:key|head)|__init_\w+|__mutex_init|init_timer_key|jiffies\w*|msleep\w*"
    r"|usleep_\w+|schedule\w*|ktime_\w+|module_layout|__this_module|__warn_\w+|__ubsan_\w+|seq_\w+"
    r"|single_\w+|nonseekable_\w+|no_llseek|noop_llseek|default_llseek|generic_\w*|__list_\w+"
    r"|wake_up\w*|__wake_up\w*|prepare_to_wait\w*|finish_wait|complete\w*|wait_for_\w+"
    r"|mod_timer\w*|add_timer\w*|del_timer\w*|timer_\w+|hrtimer_\w+|refcount_\w+"
    r"|__check_object_size|__refrigerator|current_task|pcpu_hot|const_pcpu_hot|const_current_task"
    r"|this_cpu_off|__preempt_count|preempt_\w+|__cond_resched|dynamic_might_resched|dump_stack"
    r"|panic|cpu_\w+|__cpu_\w+|nr_cpu_ids|vmalloc_base|page_offset_base|vmemmap_base|phys_base"
    r"|sysfs_emit|sprintf|vsnprintf|csum_\w+|crc\w+|fortify_\w*|compat_ptr_ioctl|init_wait\w*"
    r"|__kfifo_(?!alloc)\w+|__?[mu]secs_\w+|jiffies_\w+|netif_\w+|dev_\w+|bio_(?!alloc)\w+|set_capacity\w*"
    r"|del_gendisk|cleanup_disk|proc_do\w+|\w*release_region\w*|(?!\w*alloc)\w*skb\w*"
    r"|remove_proc_\w+|proc_remove|debugfs_(?:remove|lookup)\w*|class_(?:destroy|unregister)"
    r"|cdev_(?:init|del|add)|device_(?:destroy|unregister|del)|\w*unregister\w*|misc_deregister"
    r"|free_irq|kmem_cache_(?:free|destroy)|\w*put|get_random_\w+|prandom_\w+|queue_\w*work_on"
    r"|cancel_\w*work\w*|flush_\w*work\w*|__flush_\w+|destroy_workqueue|system_\w*wq"
    r"|kthread_(?:stop|should_\w+|park|unpark)|ns_to_\w+|__ref_stack_chk_guard"
    r"|validate_usercopy_range|__SCT__\w+|__SCK__\w+|__tracepoint_\w+|is_vmalloc_addr|BUG_func"
    r"|bpf_trace_\w+"
)
# What a call can leave, by the symbols that a module imports: the first pattern that fits a symbol. What fits
# none may leave anything: all is looked at then.
_LEAVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_NEUTRAL, ()),
    # Of the first network namespace, and what has one for each: /proc/net has files of both.
    (r"init_net|_?proc_(?:create_net|net)_\w+|register_pernet_\w+", (*_EVERYWHERE, "/proc/self/net")),
    (
        r"_?proc_(?:create|mkdir|symlink)\w*|proc_\w+_single\w*",
        ("/proc", "/proc/fs", "/proc/driver"),
    ),
    (r"register_\w*sysctl\w*|__register_\w*sysctl\w*", ("/proc/sys",)),
    (r"debugfs_\w+", ("/sys/kernel/debug",)),
    (r"__class_\w+|class_\w+|device_create\w*", ("/sys/class", "/sys/devices/virtual", "/dev")),
    (
        r"alloc_chrdev_region|__register_chrdev|register_chrdev_region|__register_blkdev|register_blkdev",
        ("/proc/devices",),
    ),
    (r"misc_register", ("/sys/class", "/sys/devices/virtual", "/dev", "/proc/misc")),
    (r"kthread_create\w*|alloc_workqueue\w*|__alloc_workqueue\w*", ("/proc",)),
    (r"kmem_cache_create\w*|__kmem_cache_create\w*", ("/sys/kernel/slab",)),
    (
        r"kobject_\w+|kset_\w+|sysfs_\w+|kernel_kobj|firmware_kobj|fs_kobj",
        ("/sys", "/sys/kernel", "/sys/fs", "/sys/module", "/sys/firmware"),
    ),
    (r"request_(?:threaded|any_context)_irq", ("/proc/interrupts",)),
    (
        r"ioport_resource|iomem_resource|__request_region|request_resource|insert_resource",
        ("/proc/ioports", "/proc/iomem"),
    ),
    (r"register_filesystem", ("/proc/filesystems", "/sys/fs")),
    (r"crypto_register_\w+", ("/proc/crypto",)),
    (
        r"(?:__)?v[mz]alloc\w*|ioremap\w*|vmap|kv[mz]alloc\w*|__kvmalloc\w*",
        ("/proc/vmallocinfo", "/proc/meminfo"),
    ),
    (
        r"_?_?k[mzc]alloc\w*|kmem_cache_z?alloc\w*|__?get_free_pages\w*|get_zeroed_page\w*|__?alloc_pages?\w*|kmemdup\w*"
        r"|kstrdup\w*|kasprintf|krealloc\w*|kmalloc_caches|random_kmalloc_\w+|alloc_pages_exact\w*|dma_alloc\w*|vmemdup\w*",
        ("/proc/meminfo",),
    ),
    # What is allocated and never registered has no name anywhere.
    (
        r"_*(?:blk_mq|blk|device_add)_\w*disk\w*|_*blk_\w+",
        ("/sys/class", "/dev", "/proc/devices", "/proc/meminfo"),
    ),
    (
        r"register_netdev\w*|alloc_netdev\w*|alloc_etherdev\w*|ether_setup|eth_\w+",
        ("/sys/class", "/proc/meminfo"),
    ),
    (r"__?platform_\w+|bus_register|driver_register", (*_FILES_OF_DRIVERS, "/sys/devices/platform")),
)


# The imports of nearly every module, which leave nothing: known without the 2 ms that the patterns take.
COMMON = frozenset(
    {
        *("_printk", "printk", "__fentry__", "_mcount", "__x86_return_thunk", "__stack_chk_fail"),
        *("module_layout", "__this_module"),
        *("param_ops_int", "param_ops_charp", "param_ops_bool", "param_ops_uint"),
    }
)


# What makes a slab cache that its caller is to destroy.
_MAKES_CACHES = re.compile(
    r"_*kmem_cache_create\w*|proto_register|bio(?:set)?_(?:init|create)\w*|inet_frags_init|btree_init\w*"
)
# A class of the kernel makes it at its first use, and keeps it.
_KEPT_CACHES = frozenset({"scsi_sense_cache"})


def is_kept_cache(name: str, imports: Iterable[str]) -> bool:
    """Whether a slab cache that is new after an unload is the kernel's, and not of modules with `imports`."""
    return name in _KEPT_CACHES or not any(map(_MAKES_CACHES.fullmatch, imports))


def sections_of(imports: Iterable[str]) -> int:
    """Which parts of a photograph can show what a module with these imports left, as bits by the order of
    SECTIONS; 0 where it can leave nothing that a photograph shows.
    """
    wanted: set[str] = set()
    for name in set(imports) - COMMON:
        found = next((s for pattern, s in _LEAVES if re.fullmatch(pattern, name)), _EVERYWHERE)
        wanted.update(found)
    return sum(1 << i for i, section in enumerate(SECTIONS) if section in wanted)
