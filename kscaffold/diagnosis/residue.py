"""What a module left behind, by two photographs of its kernel: of before the load and of after the unload.

The guest is pristine, so the difference is the module's. A photograph has one part for each of SECTIONS, which
sandbox/agent/agent.c takes in the same order; of those it sends what differs.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

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
    "/proc/vmallocinfo",
    "/proc/sys",
    "/proc/ioports",
    "/proc/iomem",
    "/proc/interrupts",
    "/proc/filesystems",
    "/proc/misc",
    "/proc/crypto",
)


@dataclass(frozen=True, slots=True)
class Residue:
    """One thing that is left. `kind`: a key of KINDS. `name`: as the kernel lists it. `where`: `file.c:line` of
    the call that probably made it, None where no source has one. `crashed`: the list of the kernel's that nobody
    can read any more because of it, None where it can be read.
    """

    kind: str
    name: str
    where: str | None = None
    crashed: str | None = None

    @property
    def code(self) -> str:
        """The entry of the catalogue."""
        return KINDS[self.kind].code

    @property
    def text(self) -> str:
        """A sentence."""
        told = KINDS[self.kind].text.format(name=self.name)
        return f"{told}; reading {self.crashed} crashes the kernel" if self.crashed else told

    @property
    def fix(self) -> str:
        """What takes it back."""
        return f"call {KINDS[self.kind].undo} in exit, and where init fails after it"


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
    r"|dma_alloc_coherent|alloc_percpu|alloc_skb|kmalloc_objs?|kzalloc_objs?)"
)
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
        r"(?:kobject_create_and_add|kobject_init_and_add|kobject_add|kset_create_and_add|sysfs_create_\w+)",
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
    "vmalloc": _Kind("KS398", "{name} of vmalloc() were never freed", "vfree() (or iounmap())", _MEMORY),
    "memory": _Kind("KS398", "{name} of memory were never freed", "kfree() or free_pages()", _MEMORY),
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
}

_FILES_OF_DRIVERS = ("/sys/class", "/sys/bus", "/sys/devices/virtual", "/sys/devices", "/dev")
_EVERYWHERE = tuple(s for s in SECTIONS if s not in ("/proc/crypto", "/proc/filesystems", "/proc/self/net"))
# What a call can leave, by the symbols that a module imports: the first pattern that fits a symbol. What fits
# none may leave anything: all is looked at then.
_LEAVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"_?printk|__fentry__|__x86_\w+|__stack_chk_\w+|__get_user_\w+|__put_user_\w+|_?copy_(?:to|from)_user"
        r"|param_(?:ops|array_ops|get|set)_?\w*|k?free\w*|kv?free(?:_\w+)?|v?free|vfree|str\w+|mem\w+|sn?printf|scnprintf"
        r"|kstrto\w+|simple_\w+|sscanf|_?raw_(?:spin|read|write)_\w+|_raw_\w+|mutex_\w+|__mutex_\w+|up|down\w*"
        r"|__?init_\w+_(?:key|head)|__init_\w+|__mutex_init|init_timer_key|jiffies\w*|msleep\w*|usleep_\w+|schedule\w*"
        r"|ktime_\w+|module_layout|__this_module|__warn_\w+|__ubsan_\w+|seq_\w+|single_\w+|nonseekable_\w+|no_llseek"
        r"|noop_llseek|default_llseek|generic_\w*|__list_\w+|wake_up\w*|__wake_up\w*|prepare_to_wait\w*|finish_wait"
        r"|complete\w*|wait_for_\w+|mod_timer\w*|add_timer\w*|del_timer\w*|timer_\w+|hrtimer_\w+|refcount_\w+"
        r"|__check_object_size|__refrigerator|current_task|pcpu_hot|const_pcpu_hot|const_current_task|this_cpu_off"
        r"|__preempt_count|preempt_\w+|__cond_resched|dynamic_might_resched|dump_stack|panic|cpu_\w+|__cpu_\w+|nr_cpu_ids"
        r"|vmalloc_base|page_offset_base|vmemmap_base|phys_base|sysfs_emit|sprintf|vsnprintf|csum_\w+|crc\w+|fortify_\w*"
        r"|proc_do\w+|\w*release_region\w*|\w*skb\w*|remove_proc_\w+|proc_remove|debugfs_(?:remove|lookup)\w*|class_(?:destroy|unregister)|cdev_(?:init|del|add)"
        r"|device_(?:destroy|unregister|del)|\w*unregister\w*|misc_deregister|free_irq|kmem_cache_(?:free|destroy)"
        r"|\w*put|get_random_\w+|prandom_\w+|queue_\w*work_on|cancel_\w*work\w*|flush_\w*work\w*|__flush_\w+|"
        r"destroy_workqueue|system_\w*wq|kthread_(?:stop|should_\w+|park|unpark)|ns_to_\w+|__ref_stack_chk_guard"
        r"|validate_usercopy_range|__SCT__\w+|__SCK__\w+|__tracepoint_\w+|is_vmalloc_addr|BUG_func|bpf_trace_\w+",
        (),
    ),
    (r"_?proc_(?:create|mkdir|symlink)\w*|proc_net_\w+|proc_\w+_single\w*", ("/proc", "/proc/fs", "/proc/driver")),
    (r"register_\w*sysctl\w*|__register_\w*sysctl\w*", ("/proc/sys",)),
    (r"debugfs_\w+", ("/sys/kernel/debug",)),
    (r"__class_\w+|class_\w+|device_create\w*", ("/sys/class", "/sys/devices/virtual", "/dev")),
    (r"alloc_chrdev_region|__register_chrdev|register_chrdev_region|__register_blkdev|register_blkdev", ("/proc/devices",)),
    (r"misc_register", ("/sys/class", "/sys/devices/virtual", "/dev", "/proc/misc")),
    (r"kthread_create\w*|alloc_workqueue\w*|__alloc_workqueue\w*", ("/proc",)),
    (r"kmem_cache_create\w*|__kmem_cache_create\w*", ("/sys/kernel/slab",)),
    (r"kobject_\w+|kset_\w+|sysfs_\w+|kernel_kobj|firmware_kobj|fs_kobj", ("/sys", "/sys/kernel", "/sys/fs", "/sys/module")),
    (r"request_(?:threaded|any_context)_irq", ("/proc/interrupts",)),
    (r"ioport_resource|iomem_resource|__request_region|request_resource|insert_resource", ("/proc/ioports", "/proc/iomem")),
    (r"register_filesystem", ("/proc/filesystems", "/sys/fs")),
    (r"crypto_register_\w+", ("/proc/crypto",)),
    (r"(?:__)?v[mz]alloc\w*|ioremap\w*|vmap|kv[mz]alloc\w*|__kvmalloc\w*", ("/proc/vmallocinfo", "/proc/meminfo")),
    (
        r"_?_?k[mzc]alloc\w*|kmem_cache_z?alloc\w*|__?get_free_pages\w*|get_zeroed_page\w*|__?alloc_pages?\w*|kmemdup\w*"
        r"|kstrdup\w*|kasprintf|krealloc\w*|kmalloc_caches|random_kmalloc_\w+|alloc_pages_exact\w*|dma_alloc\w*|vmemdup\w*",
        ("/proc/meminfo",),
    ),
    (r"register_netdev\w*|alloc_netdev\w*|alloc_etherdev\w*|ether_setup|eth_\w+", ("/sys/class",)),
    (r"__?platform_\w+|bus_register|driver_register", (*_FILES_OF_DRIVERS, "/sys/devices/platform")),
)  # fmt: skip


def sections_of(imports: Iterable[str]) -> int:
    """Which parts of a photograph can show what a module with these imports left, as bits by the order of
    SECTIONS; 0 where it can leave nothing that a photograph shows.
    """
    wanted: set[str] = set()
    for name in imports:
        found = next((s for pattern, s in _LEAVES if re.fullmatch(pattern, name)), _EVERYWHERE)
        wanted.update(found)
    return sum(1 << i for i, section in enumerate(SECTIONS) if section in wanted)


@dataclass(frozen=True, slots=True)
class Part:
    """One part that differs. `after`: None where the kernel crashed on the way through it."""

    section: str
    before: str
    after: str | None


def parts(text: str) -> list[Part]:
    """The parts of a comparison, as agent.c writes them: `\\1section\\n`, before, `\\2`, after; `\\3` and
    nothing where the reader did not come back.
    """
    found = []
    for each in text.split("\1")[1:]:
        section, _, rest = each.partition("\n")
        if "\3" in rest:
            found.append(Part(section, rest.partition("\3")[0], None))
        elif "\2" in rest:
            before, _, after = rest.partition("\2")
            found.append(Part(section, before, after))
    return found


_NOISE_BYTES = 512 << 10
"""What the kernel keeps for itself over one load: per-CPU lists of free pages, mostly."""

# Threads and files that the kernel makes when it likes.
_OWN_THREADS = re.compile(r"kworker/|ksoftirqd|migration/|cpuhp/|rcu|idle_inject|irq/|kswapd|khungtaskd|jbd2|scsi_")
_OWN_FILES = re.compile(r"/proc/(?:self|thread-self)\b|/dev/(?:vport|pts/)|/sys/kernel/debug/(?:bdi|tracing|sched)/")


def compare(found: Sequence[Part], sources: Sequence[tuple[str, str]] = ()) -> list[Residue]:
    """What is left, each thing once: of a directory with files the directory, of a device its own name.
    `sources`: name and text of the module's own files.
    """
    left: list[Residue] = []
    for part in found:
        if part.after is None:
            kind = _OF_SECTION.get(part.section, "proc" if part.section.startswith("/proc") else "sysfs")
            left.append(Residue(kind, part.section, crashed=part.section))
        elif part.section in _READERS:
            left += [Residue(*each) for each in _READERS[part.section](part.before, part.after)]
        else:
            left += [Residue(*each) for each in _of_tree(part.before, part.after)]
    return _folded([made_by(each, sources) for each in left])


# What a list that can't be read any more is a list of.
_OF_SECTION = {
    "/proc/misc": "misc",
    "/proc/filesystems": "filesystem",
    "/proc/crypto": "crypto",
    "/proc/interrupts": "interrupt",
    "/proc/ioports": "ioport",
    "/proc/iomem": "iomem",
    "/proc/devices": "chrdev",
    "/proc/sys": "sysctl",
}


def _new_lines(before: str, after: str) -> list[str]:
    known = set(before.splitlines())
    return [line for line in after.splitlines() if line and line not in known]


# Which kind a new path is, and what of it is its name. The first that fits; a group that is None is a link or
# an attribute of something that another path tells.
_PATHS: tuple[tuple[str, str], ...] = (
    (r"/sys/class/net/(?P<netdev>[^/]+)", ""),
    (r"/sys/class/[^/]+/.+", "-"),
    (r"/sys/class/(?P<class>[^/]+)", ""),
    (r"/sys/devices/virtual/(?:net|misc|bdi|block)(?:/.*)?", "-"),
    (r"/sys/devices/virtual/[^/]+/(?P<device>[^/]+)", ""),
    (r"/sys/devices/virtual/[^/]+", "-"),
    (r"/sys/devices/(?:platform/)?(?P<device>[^/]+)", ""),
    (r"/sys/bus/[^/]+/drivers/(?P<driver>[^/]+)", ""),
    (r"/sys/bus/[^/]+/.+", "-"),
    (r"/sys/bus/(?P<bus>[^/]+)", ""),
    (r"/sys/kernel/slab/(?P<slab>[^:][^/]*)", ""),
    (r"/sys/kernel/slab/.*", "-"),
    (r"/sys/kernel/debug/(?P<debugfs>.+)", ""),
    (r"/proc/sys/(?P<sysctl>.+)", ""),
    (r"/proc/self/(?P<proc>net/.+)", ""),
    (r"/proc/(?P<proc>.+)", ""),
    (r"/dev/(?P<dev>.+)", ""),
    (r"(?P<sysfs>/.+)", ""),
)


def _of_tree(before: str, after: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in _new_lines(before, after):
        if line.startswith("task "):
            name = line[5:].strip()
            found += [] if _OWN_THREADS.match(name) else [("thread", name)]
        elif not _OWN_FILES.match(line):
            found += _of_path(line)
    return found


def _of_path(path: str) -> list[tuple[str, str]]:
    hits = (re.fullmatch(pattern, path) for pattern, _ in _PATHS)
    hit = next((h for h in hits if h), None)
    return [(k, v) for k, v in hit.groupdict().items() if v] if hit else []


def _folded(left: Sequence[Residue]) -> list[Residue]:
    """Each thing once, without what comes with another one."""
    known = {(r.kind, r.name): r for r in left}
    names = {name for kind, name in known if kind in ("device", "misc", "netdev")}
    areas = any(kind == "vmalloc" for kind, _ in known)

    def comes_along(kind: str, name: str) -> bool:
        inside = any(k == kind and name.startswith(f"{n}/") for k, n in known)
        node = kind == "dev" and name.rpartition("/")[2] in names
        return inside or node or (kind == "memory" and areas)

    return [r for (kind, name), r in known.items() if not comes_along(kind, name)]


def _of_devices(before: str, after: str) -> list[tuple[str, str]]:
    def numbers(text: str) -> dict[tuple[str, str], str]:
        found, kind = {}, "chrdev"
        for line in text.splitlines():
            kind = "blkdev" if line.startswith("Block") else kind
            number, _, name = line.strip().partition(" ")
            if number.isdigit():
                found[kind, f"{name.strip()} ({number})"] = number
        return found

    known = numbers(before)
    return [key for key in numbers(after) if key not in known]


def _of_misc(before: str, after: str) -> list[tuple[str, str]]:
    return [("misc", line.split()[-1]) for line in _new_lines(before, after)]


def _of_filesystems(before: str, after: str) -> list[tuple[str, str]]:
    return [("filesystem", line.split()[-1]) for line in _new_lines(before, after)]


def _of_crypto(before: str, after: str) -> list[tuple[str, str]]:
    drivers = (line.partition(":") for line in _new_lines(before, after) if line.startswith("driver"))
    return [("crypto", value.strip()) for _, _, value in drivers]


def _of_interrupts(before: str, after: str) -> list[tuple[str, str]]:
    def handlers(text: str) -> set[tuple[str, str]]:
        """(number, name) of each handler: behind the counts and the controller come the names."""
        found = set()
        for line in text.splitlines():
            number, _, rest = line.strip().partition(":")
            if number.isdigit():
                words = rest.split()
                counts = list(takewhile(str.isdigit, words))
                names = " ".join(words[len(counts) :]).split("  ")[-1]
                found |= {(number, n.split()[-1]) for n in names.split(",") if n.split()}
        return found

    return [("interrupt", f"{n} ({name})") for n, name in sorted(handlers(after) - handlers(before))]


def _of_ranges(kind: str, before: str, after: str) -> list[tuple[str, str]]:
    return [(kind, " ".join(line.split())) for line in _new_lines(before, after)]


def _of_vmallocinfo(before: str, after: str) -> list[tuple[str, str]]:
    """Areas that the module's own code asked for: their caller has no name any more, or its module's."""
    known, found = {line.split(" ", 1)[0] for line in before.splitlines()}, []
    for line in after.splitlines():
        words = line.split()
        of_module = len(words) > 2 and (words[2].startswith("0x") or words[2].endswith("]"))
        bracketed = len(words) > 3 and words[3].startswith("[")
        if words and words[0] not in known and (of_module or bracketed) and words[1].isdigit():
            found.append(("vmalloc", size_text(int(words[1]))))
    return found


def grown(before: str, after: str) -> int:
    """By how many bytes the kernel's own memory grew between two texts of /proc/meminfo. Not counted are the
    pages of programs and files, what can be reclaimed, and the stacks and tables of tasks.
    """
    return _used(after) - _used(before)


def _used(text: str) -> int:
    kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.splitlines()) if rest}
    total = kb.get("MemTotal", 0) - kb.get("MemFree", 0)
    others = ("Active", "Inactive", "Unevictable", "SReclaimable", "KernelStack", "PageTables")
    return (total - sum(kb.get(name, 0) for name in others)) << 10


def _of_meminfo(before: str, after: str) -> list[tuple[str, str]]:
    more = grown(before, after)
    return [("memory", size_text(more))] if more >= _NOISE_BYTES else []


def size_text(size: int) -> str:
    """Bytes for people."""
    return f"{size / (1 << 20):.0f} MB" if size >= 1 << 20 else f"{size >> 10} KB"


_READERS = {
    "/proc/devices": _of_devices,
    "/proc/misc": _of_misc,
    "/proc/filesystems": _of_filesystems,
    "/proc/crypto": _of_crypto,
    "/proc/interrupts": _of_interrupts,
    "/proc/ioports": lambda before, after: _of_ranges("ioport", before, after),
    "/proc/iomem": lambda before, after: _of_ranges("iomem", before, after),
    "/proc/vmallocinfo": _of_vmallocinfo,
    "/proc/meminfo": _of_meminfo,
}

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)


def made_by(left: Residue, sources: Sequence[tuple[str, str]]) -> Residue:
    """The same with the call in `sources` that probably made it: that which names it, else the first of its
    kind. Where the kernel can't tell the name any more, the call's own is taken.
    """
    words = [w for w in re.split(r"[\s/()]+", left.name) if w]
    found: list[tuple[int, str, str]] = []
    for file, text in sources:
        plain = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text)
        for hit in _calls(plain, KINDS[left.kind].makers):
            line = plain.count("\n", 0, hit.start()) + 1
            said = re.findall(r'"([^"\n]{1,80})"', plain[hit.start() : plain.find(";", hit.start())])
            found.append((0 if set(said) & set(words) else 1, f"{file}:{line}", said[0] if said else ""))
    if not found:
        return left
    _, where, name = min(found, key=lambda f: f[0])
    if not left.crashed:
        return replace(left, where=where)
    declared = re.search(_DECLARED, "\n".join(text for _, text in sources))
    return replace(left, where=where, name=name or (declared[1] if declared else left.name))


# Whoever registers these gives them a name where they stand.
_DECLARED = r'\b(?:miscdevice|file_system_type|\w+_alg)\s+\w+\s*=\s*\{[^;"]*"([^"\n]{1,80})"'


def _calls(text: str, makers: str) -> list[re.Match[str]]:
    """The calls of these functions, and of macros of the file's own that stand for one."""
    macros = re.findall(rf"^[ \t]*#[ \t]*define[ \t]+(\w+)\([^\n]*\b(?:{makers})\s*\(", text, re.M)
    names = "|".join((*dict.fromkeys(macros), makers))
    calls = re.finditer(rf"\b(?:{names})\s*\(", text)
    return [c for c in calls if not text[text.rfind("\n", 0, c.start()) + 1 :].lstrip().startswith("#")]
