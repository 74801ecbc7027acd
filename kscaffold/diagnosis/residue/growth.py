"""How much of a kernel's memory many loads of the same modules have kept, by two photographs around them."""

import re
from collections import Counter
from collections.abc import Sequence

from kscaffold.diagnosis.residue.compare import Part, grown, size_text
from kscaffold.diagnosis.residue.kinds import Residue

_PAGE = 4096
_SURE = 0.75  # pages a load, from which on it is the loads that take them
_OTHERS = 1  # objects that somebody else may take or give back meanwhile
_SIZED = re.compile(r"kmalloc-(?:\w+-)*?(?P<size>\d+)(?P<unit>k?)")


def growth(half: Sequence[Part], whole: Sequence[Part], rounds: int) -> list[Residue]:
    """The caches and the memory that grew evenly: by the same number of objects a round, or by about a page
    a round, in both halves of the rounds. What a kernel sets aside for itself grows in steps. `half`,
    `whole`: what differs from the beginning after half of the rounds, and at the end.
    """
    each, first, both = rounds // 2, _objects_more(half), _objects_more(whole)
    left = []
    for name, count in both.items():
        times = round(count / rounds)
        if times and max(abs(n - times * each) for n in (first[name], count - first[name])) <= _OTHERS:
            left.append(_objects_left(name, count, rounds))
    grew = min(_pages_more(half), _pages_more(whole) - _pages_more(half)) / (_PAGE * each)
    if grew >= _SURE:
        left.append(Residue("memory", f"{size_text(_PAGE * max(1, round(grew)))} a load"))
    return left


def _objects_more(found: Sequence[Part]) -> Counter[str]:
    slabs = next((p for p in found if p.section == "/proc/slabinfo"), None)
    more = _objects(slabs.after or "") if slabs else Counter[str]()
    more.subtract(_objects(slabs.before) if slabs else ())
    return more


def _pages_more(found: Sequence[Part]) -> int:
    """Bytes of the kernel's memory that are in no slab of a cache's: what kmalloc() gives beyond its largest
    cache counts as slab memory and is in none (mm/slab_common.c, ___kmalloc_large_node(), 6.1).
    """
    memory = next((p for p in found if p.section == "/proc/meminfo"), None)
    slabs = next((p for p in found if p.section == "/proc/slabinfo"), None)
    if memory is None:
        return grown(found)
    before, after = memory.before, memory.after or ""
    large = _slab(after, "Slab") - _slab(before, "Slab")
    large -= _in_caches(slabs.after or "") - _in_caches(slabs.before) if slabs else large
    return grown(found) - (_slab(after, "SUnreclaim") - _slab(before, "SUnreclaim")) + large


def _objects_left(name: str, count: int, rounds: int) -> Residue:
    times = round(count / rounds)
    many = f"{times} x " if times > 1 else ""
    what = f"up to {many}{name[8:]} bytes" if name.startswith("kmalloc-") else f"{many or '1 '}{name}"
    return Residue("memory", f"{what} a load ({count} objects of {name} in {rounds} loads)")


def _objects(text: str) -> Counter[str]:
    """How many objects of each cache are in use; all caches of kmalloc() for one size together."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[1].isdecimal():
            sized = _SIZED.fullmatch(words[0])
            name = f"kmalloc-{int(sized['size']) << (10 if sized['unit'] else 0)}" if sized else words[0]
            found[name] += int(words[1])
    return found


def _slab(text: str, name: str) -> int:
    kb = re.search(rf"^{name}:\s+(\d{{1,12}}) kB", text, re.M)
    return int(kb[1]) << 10 if kb else 0


def _in_caches(text: str) -> int:
    """Bytes of the pages that the caches have."""
    found = re.findall(r"^\S+ +\d+ +\d+ +\d+ +\d+ +(\d+) : .{1,80} slabdata +\d+ +(\d+) ", text, re.M)
    return sum(int(pages) * int(slabs) for pages, slabs in found) * _PAGE
