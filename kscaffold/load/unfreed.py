"""What a module asks of the kernel and never gives back, as far as its imports can tell."""

from collections.abc import Callable, Collection

from kscaffold.records import dataclass

_OBJECTS = (
    *("kmalloc_trace", "kmalloc_large", "kmem_cache_alloc_trace", "__kmalloc", "__kmalloc_track_caller"),
    *("kmalloc_order", "kmalloc_order_trace", "__kmalloc_cache_noprof", "__kmalloc_noprof"),
    *("__kmalloc_large_noprof", "kmalloc_caches", "krealloc", "krealloc_noprof", "kvmalloc_node"),
    *("__kmalloc_node", "__kmalloc_node_noprof", "__kvmalloc_node_noprof"),
    *("__kmalloc_cache_node_noprof", "kmalloc_node_trace"),
    *("kstrdup", "kstrndup", "kmemdup", "kmemdup_noprof", "kasprintf", "kvasprintf"),
    *("memdup_user", "memdup_user_nul", "vmemdup_user"),
)
_KFREE = (*("kfree", "kvfree", "kfree_const", "kfree_sensitive", "kvfree_sensitive", "kvfree_call_rcu"),)
_PAGES = (
    *("__get_free_pages", "get_zeroed_page", "__alloc_pages", "alloc_pages", "alloc_pages_current"),
    *("get_free_pages_noprof", "get_zeroed_page_noprof", "alloc_pages_noprof", "__alloc_pages_noprof"),
    *("__alloc_pages_nodemask", "__folio_alloc", "__folio_alloc_noprof"),
)


@dataclass(frozen=True, slots=True)
class Unfreed:
    """One thing that a module asks for and does not give back. `made`: the functions it imports for that, and
    `written`: a pattern of what a source calls them; `free`: the one that it should call.
    """

    made: tuple[str, ...]
    written: str
    free: str


@dataclass(frozen=True, slots=True)
class _Pair:
    """Who makes a thing and who takes it back. `others`: by whose import somebody else may do that, or a word
    of the source that says so; `is_memory`: anybody could, who is handed it. `home`: the module of the
    kernel's that these functions may be in; `written`: a pattern of what a source calls the makers, where
    those are what a macro or an inline function ends in.
    """

    makers: tuple[str, ...]
    ends: tuple[str, ...]
    others: tuple[str, ...] = ()
    is_memory: bool = False
    home: tuple[str, ...] = ()
    written: str = ""


_PAIRS = (
    _Pair(
        _OBJECTS,
        _KFREE,
        is_memory=True,
        written=r"k[mzc]alloc\w*|kv[mzc]alloc\w*|krealloc\w*|kmemdup\w*|kstrn?dup|kv?asprintf|v?memdup_user\w*",
    ),
    _Pair(
        _PAGES,
        ("free_pages", "__free_pages", "free_pages_exact", "__folio_put", "__put_page"),
        is_memory=True,
        written=r"__get_(?:free|dma)_pages?|get_zeroed_page|alloc_pages?\w*|folio_alloc",
    ),
    _Pair(
        ("__alloc_percpu", "__alloc_percpu_gfp", "pcpu_alloc_noprof"),
        ("free_percpu",),
        is_memory=True,
        written=r"(?:__)?alloc_percpu\w*",
    ),
    # A device with needs_free_netdev goes with its unregister (net/core/dev.c, netdev_run_todo()).
    _Pair(
        ("alloc_netdev_mqs", "alloc_etherdev_mqs"),
        ("free_netdev",),
        ("needs_free_netdev", "rtnl_link_register"),
        written=r"alloc_(?:netdev|etherdev)\w*",
    ),
    _Pair(
        (
            *("crypto_alloc_shash", "crypto_alloc_ahash", "crypto_alloc_skcipher", "crypto_alloc_aead"),
            *("crypto_alloc_sync_skcipher", "crypto_alloc_akcipher", "crypto_alloc_rng", "crypto_alloc_kpp"),
            *("crypto_alloc_base", "crypto_alloc_acomp", "crypto_alloc_sig"),
        ),
        ("crypto_destroy_tfm",),
        written=r"crypto_alloc_\w+",
    ),
    _Pair(
        ("mempool_create", "mempool_create_node", "mempool_create_node_noprof"),
        ("mempool_destroy",),
        written=r"mempool_create\w*",
    ),
    _Pair(("dma_pool_create",), ("dma_pool_destroy",)),
    _Pair(
        ("request_firmware", "request_firmware_direct", "firmware_request_nowarn"),
        ("release_firmware",),
    ),
    _Pair(("sock_create", "sock_create_kern", "sock_create_lite"), ("sock_release",), ("sock_alloc_file",)),
    _Pair(
        ("filp_open", "file_open_root", "dentry_open"), ("filp_close", "fput", "__fput_sync"), ("fd_install",)
    ),
    _Pair(("usb_alloc_urb",), ("usb_free_urb",), home=("usbcore",)),
    _Pair(("bioset_init",), ("bioset_exit",)),
    _Pair(("blk_mq_alloc_tag_set", "blk_mq_alloc_sq_tag_set"), ("blk_mq_free_tag_set",)),
    _Pair(
        ("__alloc_disk_node", "__blk_alloc_disk", "__blk_mq_alloc_disk", "blk_mq_alloc_disk_for_queue"),
        ("put_disk",),
        written=r"(?:blk_|blk_mq_)?alloc_disk\w*",
    ),
    _Pair(("input_allocate_device",), ("input_free_device", "input_unregister_device")),
    _Pair(("i2c_get_adapter",), ("i2c_put_adapter",)),
    _Pair(("clk_get",), ("clk_put",)),
    _Pair(("regulator_get",), ("regulator_put",)),
    _Pair(("gpiod_get", "gpiod_get_optional", "gpiod_get_index"), ("gpiod_put",), ("gpiod_put_array",)),
    _Pair(("kobject_create_and_add",), ("kobject_put",), ("kset_unregister",)),
    _Pair(("kset_create_and_add",), ("kset_unregister",), ("kobject_put",)),
    _Pair(
        ("alloc_workqueue",),
        ("destroy_workqueue",),
        written=r"alloc_(?:ordered_)?workqueue|create_\w*workqueue",
    ),
    _Pair(("platform_device_alloc",), ("platform_device_put", "platform_device_unregister")),
    _Pair(("__tty_alloc_driver",), ("tty_driver_kref_put", "put_tty_driver"), written="tty_alloc_driver"),
    _Pair(("rfkill_alloc",), ("rfkill_destroy",), home=("rfkill",)),
    _Pair(("netlink_kernel_create", "__netlink_kernel_create"), ("netlink_kernel_release",)),
    _Pair(("__kfifo_alloc",), ("__kfifo_free",), written="kfifo_alloc"),
    _Pair(("ida_alloc_range",), ("ida_free", "ida_destroy"), written=r"ida_alloc\w*|ida_simple_get"),
    _Pair(("xa_store", "__xa_store"), ("xa_erase", "__xa_erase", "xa_destroy")),
    _Pair(("rhashtable_init", "rhltable_init"), ("rhashtable_destroy", "rhashtable_free_and_destroy")),
    _Pair(
        ("mempool_init", "mempool_init_node", "mempool_init_noprof"),
        ("mempool_exit",),
        written=r"mempool_init\w*",
    ),
    _Pair(("init_srcu_struct", "__init_srcu_struct"), ("cleanup_srcu_struct",), written="init_srcu_struct"),
    _Pair(("find_get_pid", "get_task_pid"), ("put_pid",)),
    _Pair(("get_pid_task",), ("__put_task_struct",), ("__put_task_struct_rcu_cb",)),
    _Pair(("get_task_mm",), ("mmput",), ("mmput_async",)),
    _Pair(("kern_path", "user_path_at_empty", "user_path_at"), ("path_put",)),
    _Pair(("d_find_alias", "dget_parent", "lookup_one_len"), ("dput",)),
    _Pair(("fget", "fget_raw"), ("fput",), ("__fput_sync",)),
    _Pair(
        ("__symbol_get",), ("__symbol_put",), ("symbol_put_addr",), written="(?:__)?symbol_(?:get|request)"
    ),
    _Pair(
        ("prepare_creds", "prepare_kernel_cred"),
        ("abort_creds", "commit_creds", "__put_cred"),
        ("override_creds",),
    ),
    _Pair(("override_creds",), ("revert_creds",)),
    _Pair(("perf_event_create_kernel_counter",), ("perf_event_release_kernel",)),
    _Pair(
        ("pin_user_pages", "pin_user_pages_fast"),
        ("unpin_user_pages", "unpin_user_page", "unpin_user_pages_dirty_lock"),
    ),
    _Pair(("blkdev_get_by_path", "blkdev_get_by_dev"), ("blkdev_put",)),
    _Pair(("bdev_file_open_by_path", "bdev_file_open_by_dev"), ("bdev_fput", "fput")),
    _Pair(("simple_pin_fs",), ("simple_release_fs",)),
    _Pair(("kern_mount",), ("kern_unmount",)),
)

_MEMORY = frozenset(name for pair in _PAIRS if pair.is_memory for name in pair.makers)


def unfreed(
    imports: Collection[str],
    depends: Collection[str],
    *,
    is_harmless: Callable[[Collection[str]], bool],
    says: Callable[[str], bool],
    memory: bool = True,
) -> list[Unfreed]:
    """What a module never gives back that exports nothing, by its imports and the modules it needs.
    `memory`: of what is only memory, too. `is_harmless`: whether none of these functions that it calls could
    free memory for it; `says`: whether its source has a word, or may have.
    """
    known, found = set(imports), []
    for pair in _PAIRS:
        made = tuple(name for name in pair.makers if name in known)
        # Another module may have taken it, or give it back.
        if not made or known & {*pair.ends, *pair.others} or set(depends) - set(pair.home):
            continue
        if pair.is_memory and not (memory and is_harmless(known - _MEMORY)):
            continue
        if any(map(says, pair.others)):
            continue
        found.append(Unfreed(made, pair.written or "|".join(made), pair.ends[0].lstrip("_")))
    return found
