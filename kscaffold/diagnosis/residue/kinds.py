"""The kinds of things that a module leaves behind, and the words for each."""

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Residue:
    """One thing that is left. `kind`: a key of KINDS. `name`: as the kernel lists it. `where`: `file.c:line`
    of the call that probably made it, None where no source has one. `crashed`: the list of the kernel's that
    crashes its reader because of the leftover, None where it can be read. `undo`: what takes back that very
    call. `module`: whose it is; None where only `where` can tell.
    """

    kind: str
    name: str
    where: str | None = None
    crashed: str | None = None
    undo: str | None = None
    module: str | None = None

    @property
    def code(self) -> str:
        """The entry of the catalogue."""
        return KINDS[self.kind].code

    @property
    def text(self) -> str:
        """A sentence."""
        words = KINDS[self.kind].text.format(name=self.name)
        return f"{words}; reading {self.crashed} crashes the kernel" if self.crashed else words

    @property
    def fix(self) -> str:
        """The advice for the user: the call that takes the thing back."""
        more = "; kscaffold run --sanitize names the allocation" if self.kind == "memory" else ""
        return f"call {self.undo or KINDS[self.kind].undo} in exit, and where init fails after it{more}"


@dataclass(frozen=True, slots=True)
class _Kind:
    """`makers`: the functions that make it, as they stand in a source, a regular expression."""

    code: str
    text: str
    undo: str
    makers: str


_PROC = r"(?:proc_create(?:_\w+)?|proc_mkdir(?:_\w+)?|proc_symlink|proc_net_mkdir)"
_DEVICE = (
    r"(?:device_create(?:_with_groups)?|device_register|device_add|cdev_device_add|\w+_register_device"
    r"|platform_device_register\w*|platform_device_add|root_device_register|\w+_device_register\w*)"
)
_MEMORY = (
    r"(?:k[mzc]alloc(?:_array|_node)?|kmem_cache_z?alloc|kv[mzc]alloc(?:_array|_node)?|v[mz]alloc(?:_user)?|kmemdup"
    r"|kstrdup|kasprintf|(?:__)?get_free_pages?|get_zeroed_page|alloc_pages?(?:_exact|_node)?|vmalloc_to_\w+"
    r"|dma_alloc_coherent|(?:__)?alloc_percpu\w*|mempool_create\w*|alloc_skb|kmalloc_objs?|kzalloc_objs?)"
)
_MAPPED = r"(?:ioremap\w*|vmap|memremap|of_iomap|(?:pci|pcim)_iomap\w*|acpi_os_map_\w+)"
_NODES = r"(?:idr_alloc(?:_\w+)?|xa_(?:store|insert|alloc)\w*|radix_tree_insert)"
KINDS = {
    "proc": _Kind("KS393", "/proc/{name} is still there", "proc_remove() or remove_proc_entry()", _PROC),
    "sysctl": _Kind(
        "KS393",
        "/proc/sys/{name} is still there",
        "unregister_sysctl_table()",
        r"(?:__)?register_(?:net_)?sysctl\w*",
    ),
    "class": _Kind(
        "KS394", "/sys/class/{name} is still there", "class_destroy()", r"(?:class_create|class_register)"
    ),
    "bus": _Kind("KS394", "/sys/bus/{name} is still there", "bus_unregister()", r"bus_register"),
    "driver": _Kind(
        "KS394",
        "the driver {name} is still registered",
        "the driver's unregister function",
        r"(?:\w+_)?register_driver|\w+_driver_register",
    ),
    "device": _Kind(
        "KS394", "the device {name} is still there", "device_destroy() or device_unregister()", _DEVICE
    ),
    "sysfs": _Kind(
        "KS394",
        "{name} is still there",
        "kobject_put()",
        r"(?:kobject_create_and_add|kobject_init_and_add|kobject_add|kset_create_and_add|sysfs_create_\w+"
        r"|(?:bus|class|driver|device)_create_file)",
    ),
    "debugfs": _Kind(
        "KS395",
        "/sys/kernel/debug/{name} is still there",
        "debugfs_remove()",
        r"debugfs_create_\w+",
    ),
    "chrdev": _Kind(
        "KS396",
        "the character device numbers of {name} are still taken",
        "unregister_chrdev_region() (or unregister_chrdev())",
        r"(?:alloc_chrdev_region|register_chrdev(?:_region)?)",
    ),
    "blkdev": _Kind(
        "KS396",
        "the block device number of {name} is still taken",
        "unregister_blkdev()",
        r"register_blkdev",
    ),
    "misc": _Kind(
        "KS396",
        "the misc device {name} is still registered",
        "misc_deregister()",
        r"misc_register|module_misc_device",
    ),
    "dev": _Kind(
        "KS396", "/dev/{name} is still there", "what removes its device", _DEVICE + "|misc_register"
    ),
    "netdev": _Kind(
        "KS396",
        "the network device {name} is still there",
        "unregister_netdev()",
        r"register_netdev(?:ice)?",
    ),
    "thread": _Kind(
        "KS397",
        "the thread {name} still runs",
        "kthread_stop(), or destroy_workqueue() for a workqueue's,",
        r"(?:kthread_(?:run|create)\w*|alloc_(?:ordered_)?workqueue|create_\w*workqueue)",
    ),
    "slab": _Kind(
        "KS398",
        "the slab cache {name} is still there",
        "kmem_cache_destroy()",
        r"(?:kmem_cache_create\w*|KMEM_CACHE)",
    ),
    "vmalloc": _Kind(
        "KS398", "{name} of vmalloc() were never freed", "vfree() (or iounmap())", f"{_MEMORY}|{_MAPPED}"
    ),
    "memory": _Kind(
        "KS398", "{name} of memory were never freed", "kfree() or free_pages()", f"{_MEMORY}|{_NODES}"
    ),
    "interrupt": _Kind(
        "KS399",
        "the handler of interrupt {name} is still there",
        "free_irq()",
        r"request_(?:threaded_)?irq|request_any_context_irq",
    ),
    "ioport": _Kind(
        "KS399", "the ports {name} are still taken", "release_region()", r"request_region|__request_region"
    ),
    "iomem": _Kind(
        "KS399",
        "the memory region {name} is still taken",
        "release_mem_region()",
        r"request_(?:mem_region|resource)|insert_resource|__request_region",
    ),
    "filesystem": _Kind(
        "KS399",
        "the file system {name} is still registered",
        "unregister_filesystem()",
        r"register_filesystem",
    ),
    "crypto": _Kind(
        "KS399", "the algorithm {name} is still registered", "crypto_unregister_…()", r"crypto_register_\w+"
    ),
    "callback": _Kind(
        "KS390",
        "the kernel still has a pointer to {name}, which went with the module",
        "what unregisters or cancels it",
        r"(?:\w*_)?(?<!un)register(?:_\w+)?|dev_add_pack|inet6?_add_protocol|call_s?rcu\w*|tasklet_\w*schedule"
        r"|cpuhp_setup_state\w*|INIT_(?:DELAYED_)?WORK\w*|timer_setup\w*",
    ),
}
