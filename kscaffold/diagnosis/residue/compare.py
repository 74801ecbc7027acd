"""Finds what a module left behind: it compares a photograph of the kernel from before the load with one
from after the unload.

The guest is pristine, so the difference is the module's.
"""

import re
from collections.abc import Sequence
from itertools import takewhile

from kscaffold import lazy
from kscaffold.diagnosis.residue.kinds import Residue
from kscaffold.diagnosis.residue.source import made_by
from kscaffold.records import dataclass


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


NOISE = 512 << 10
"""Bytes that a kernel's memory may grow by over one load, whatever the module does."""

# Threads and files that the kernel makes when it likes.
_OWN_THREADS = lazy.pattern(
    r"kworker/(?!R-)|ksoftirqd|migration/|cpuhp/|rcu|idle_inject|irq/|kswapd|khungtaskd|jbd2|scsi_"
)
_OWN_FILES = lazy.pattern(
    r"/proc/(?:self|thread-self)\b|/dev/(?:vport|pts/)|/sys/kernel/debug/(?:bdi|tracing|sched)/"
)


def compare(found: Sequence[Part], sources: Sequence[tuple[str, str]] = ()) -> list[Residue]:
    """All that is left, each thing once: a directory without the files in it, a device under its own name.
    `sources`: name and text of the module's own files.
    """
    left: list[Residue] = []
    for part in found:
        if part.after is None:
            kind = _OF_SECTION.get(part.section, "proc" if part.section.startswith("/proc") else "sysfs")
            left.append(Residue(kind, part.section, crashed=part.section))
        elif part.section in ("/proc/meminfo", "/proc/zoneinfo"):
            continue
        elif part.section in _READERS:
            left += [Residue(*each) for each in _READERS[part.section](part.before, part.after)]
        else:
            left += [Residue(*each) for each in _of_tree(part.before, part.after)]
    if (more := unfreed(found)) >= NOISE:
        left.append(Residue("memory", size_text(more)))
    return _folded([made_by(each, sources) for each in left])


# What each list holds, for a list that crashes its reader.
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
    # A name that a module gave may hold the end of a line.
    return [line for line in after.splitlines() if line.strip() and line not in known]


# Which kind a new path is, and what of it is its name. The first that fits; a group that is None is a link or
# an attribute of something that another path tells.
_PATHS: tuple[tuple[str, str], ...] = (
    (r"/sys/class/net/(?P<netdev>[^/]+)", ""),
    (r"/sys/class/bdi/.+", "-"),
    (r"(?P<sysfs>/sys/class/[^/]+/.+)", ""),
    (r"/sys/class/(?P<class>[^/]+)", ""),
    (r"/sys/devices/virtual/(?:net|misc|bdi|block)(?:/.*)?", "-"),
    (r"/sys/devices/virtual/[^/]+/(?P<device>[^/]+)", ""),
    (r"/sys/devices/virtual/[^/]+", "-"),
    (r"/sys/devices/(?:platform/)?(?P<device>[^/]+)", ""),
    (r"/sys/bus/[^/]+/drivers/(?P<driver>[^/]+)", ""),
    (r"(?P<sysfs>/sys/bus/[^/]+/.+)", ""),
    (r"/sys/bus/(?P<bus>[^/]+)", ""),
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
            # A workqueue's thread is called after it, from 6.9 on with this before.
            name = line[5:].strip().removeprefix("kworker/R-")
            found += [] if _OWN_THREADS.match(name) else [("thread", name)]
        elif not _OWN_FILES.match(line):
            found += _of_path(line)
    return found


def _of_path(path: str) -> list[tuple[str, str]]:
    hits = (re.fullmatch(pattern, path) for pattern, _ in _PATHS)
    hit = next((h for h in hits if h), None)
    return [(k, v) for k, v in hit.groupdict().items() if v] if hit else []


def _folded(left: Sequence[Residue]) -> list[Residue]:
    """Each leftover once, without the leftovers that another one brings along."""
    known = {(r.kind, r.name): r for r in left}
    names = {name for kind, name in known if kind in ("device", "misc", "netdev")}
    nodes = {name.rpartition("/")[2] for kind, name in known if kind == "dev"}
    areas = any(kind == "vmalloc" for kind, _ in known)

    def comes_along(kind: str, name: str) -> bool:
        inside = any(k == kind and name.startswith(f"{n}/") for k, n in known)
        node = kind == "dev" and name.rpartition("/")[2] in names
        return inside or node or (kind == "sysfs" and belongs(name)) or (kind == "memory" and areas)

    def belongs(path: str) -> bool:
        """Whether a path is of a class, a bus or a driver that is left, or a link to a device that is."""
        top, _, rest = path.removeprefix("/sys/").partition("/")
        owner, _, entry = rest.partition("/")
        if top not in ("class", "bus") or not entry:
            return False
        last = entry.rpartition("/")[2]
        return (top, owner) in known or last in names or last in nodes or ("driver", last) in known

    return [r for (kind, name), r in known.items() if not comes_along(kind, name)]


def _of_devices(before: str, after: str) -> list[tuple[str, str]]:
    def numbers(text: str) -> dict[tuple[str, str], str]:
        found, kind = {}, "chrdev"
        for line in text.splitlines():
            kind = "blkdev" if line.startswith("Block") else kind
            number, _, name = line.strip().partition(" ")
            if number.isdecimal():
                found[kind, f"{name.strip()} ({number})"] = number
        return found

    known = numbers(before)
    return [key for key in numbers(after) if key not in known]


_SHARED = re.compile(r"^/sys/kernel/slab/:\S+ (\d{1,9})$", re.M)


def _of_slabs(before: str, after: str) -> list[tuple[str, str]]:
    """Caches that have memory of their own, and, where more share another's than before, the names that came
    (with @): the name of one that shares stays when it is destroyed.
    """

    def sharers(text: str) -> int:
        return sum(int(n) for n in _SHARED.findall(text))

    new = [line.rpartition("/")[2] for line in _new_lines(before, after)]
    left = max(0, sharers(after) - sharers(before))
    own = [name for name in new if not name.endswith("@") and not name.startswith(":")]
    return [("slab", n) for n in (*own, *[n.rstrip("@") for n in new if n.endswith("@")][:left])]


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
            if number.isdecimal():
                words = rest.split()
                counts = list(takewhile(str.isdigit, words))
                names = " ".join(words[len(counts) :]).split("  ")[-1]
                found |= {(number, n.split()[-1]) for n in names.split(",") if n.split()}
        return found

    return [("interrupt", f"{n} ({name})") for n, name in sorted(handlers(after) - handlers(before))]


def _of_ranges(kind: str, before: str, after: str) -> list[tuple[str, str]]:
    return [(kind, " ".join(line.split())) for line in _new_lines(before, after)]


def _of_vmallocinfo(before: str, after: str) -> list[tuple[str, str]]:
    """What the areas hold that the module's own code asked for: their caller has lost its name, or has the
    module's.
    """
    known, sizes = {line.split(" ", 1)[0] for line in before.splitlines()}, []
    for line in after.splitlines():
        words = line.split()
        of_module = len(words) > 2 and (words[2].startswith("0x") or words[2].endswith("]"))
        bracketed = len(words) > 3 and words[3].startswith("[")
        if words and words[0] not in known and (of_module or bracketed) and words[1].isdecimal():
            sizes.append(int(words[1]))
    areas = f" in {len(sizes)} areas" if len(sizes) > 1 else ""
    return [("vmalloc", f"{size_text(sum(sizes))}{areas}")] if sizes else []


def grown(found: Sequence[Part]) -> int:
    """By how many bytes the kernel's own memory grew. Not counted are the pages of programs and files, what
    can be reclaimed, the stacks and tables of tasks, and, where /proc/zoneinfo is there, free pages that a
    processor keeps for its next request.
    """
    of = {part.section: part for part in found}
    memory, zones = of.get("/proc/meminfo"), of.get("/proc/zoneinfo")
    more = _used(memory.after or "") - _used(memory.before) if memory else 0
    return more - (_kept(zones.after or "") - _kept(zones.before) if zones else 0)


# Bytes that can be reclaimed, of names and inodes, by which a kernel may grow over one load: 6.1 took 328 KB
# for a module that frees all it has.
_FILES = 1 << 20


def unfreed(found: Sequence[Part]) -> int:
    """As `grown`, with what can be reclaimed where that grew by more than files explain: the nodes of an IDR
    or an XArray (radix_tree_node) count as such, and are reclaimed by nobody.
    """
    memory = next((p for p in found if p.section == "/proc/meminfo"), None)
    more = _reclaimable(memory.after or "") - _reclaimable(memory.before) if memory else 0
    return grown(found) + (more if more >= _FILES else 0)


def _reclaimable(text: str) -> int:
    kb = re.search(r"^SReclaimable:\s+(\d{1,12})\b", text, re.M)
    return int(kb[1]) << 10 if kb else 0


def _used(text: str) -> int:
    kb = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d{1,15})\b", text, re.M)}
    total = kb.get("MemTotal", 0) - kb.get("MemFree", 0)
    others = ("Active", "Inactive", "Unevictable", "SReclaimable", "KernelStack", "PageTables")
    return (total - sum(kb.get(name, 0) for name in others)) << 10


def _kept(text: str) -> int:
    return sum(int(n) for n in re.findall(r"^ +count: (\d{1,9})$", text, re.M)) << 12


def size_text(size: int) -> str:
    """Bytes for people."""
    return f"{size / (1 << 20):.0f} MB" if size >= 1 << 20 else f"{size >> 10} KB"


_READERS = {
    "/sys/kernel/slab": _of_slabs,
    "/proc/devices": _of_devices,
    "/proc/misc": _of_misc,
    "/proc/filesystems": _of_filesystems,
    "/proc/crypto": _of_crypto,
    "/proc/interrupts": _of_interrupts,
    "/proc/ioports": lambda before, after: _of_ranges("ioport", before, after),
    "/proc/iomem": lambda before, after: _of_ranges("iomem", before, after),
    "/proc/vmallocinfo": _of_vmallocinfo,
}
