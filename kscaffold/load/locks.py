"""A loaded module's own mutexes, rw_semaphores and spinlocks, read in the guest's memory.

A lock is known there by its shape: the address of its owner's task, 8 bytes that are zero while nobody waits,
and a list of waiters that is empty (struct mutex; struct rw_semaphore has a count before). The source has to
say that there is a lock, too.

A spinlock is known by its name in the source. A guest has one processor, and whoever holds a spinlock is not
taken from it: one that is held when the guest answers a question is held for ever.
"""

import re
import struct
from collections.abc import Iterator, Sequence

from kscaffold import lazy
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.source_files import sources_of
from kscaffold.records import dataclass
from kscaffold.targets.kernel_memory import KernelMemory
from kscaffold.targets.target import Target

_LARGEST = 128 << 10  # bytes of a section that is searched
_BETWEEN = 8  # bytes of a lock between its owner and its list: wait_lock and osq
_TASK = 6 << 10  # bytes of struct task_struct that have its name
_LOADER = b"init\0"  # the name of the agent's own tasks, and of no thread of the kernel's
_FLAGS = 7  # of an owner's address
_MEMBER = lazy.pattern(r"\bstruct\s+(?:mutex|rw_semaphore)\s+\w")
_SPINLOCK = lazy.pattern(
    r"\b(?:DEFINE_(?:RAW_)?SPINLOCK\s*\(\s*|^static\s+(?:raw_)?spinlock_t\s+)(\w+)\s*[);]", re.M
)
_SPINS = lazy.pattern(r"(?:ks_)?_raw_spin_\w+")
_TASK_KEPT = lazy.pattern(r"\bstruct\s+task_struct\s*\*")


@dataclass(frozen=True, slots=True)
class LockState:
    """A lock of a module's that is not as it should be. `name`: the variable that it is, or is in; `kind`:
    held by the task that loaded the module, which has ended; spinning, a spinlock that is held; or
    overwritten, so that who has to wait for it follows a list that is none.
    """

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of variables. `at`: its address; `data`: what is there now."""

    name: str
    at: int
    data: bytes


def wrong_locks(ko: ModuleFile, module: str, target: Target) -> list[LockState]:
    """The locks of a loaded module that are held for ever, or overwritten; none where its kernel's memory
    can't be read.
    """
    found: list[LockState] = []
    try:
        memory, spinlocks = target.memory(), _spinlocks(ko)
        for section in _sections(ko, module, target, memory) if memory else ():
            held = [*_held(memory, section)] if memory else ()
            gone = [*_overwritten(ko, section, memory)] if memory else ()
            found += [LockState(name, "held") for name in _names(ko, section, held)]
            found += [LockState(name, "overwritten") for name in _defined(ko, section, gone)]
            found += [LockState(name, "spinning") for name in _spinning(ko, section, spinlocks)]
    except (OSError, KscaffoldError, ValueError, struct.error):
        return []
    return found


def _sections(ko: ModuleFile, module: str, target: Target, memory: KernelMemory) -> list[_Section]:
    places = []
    for name, size in quick.resident(ko).items():
        if name.startswith((".data", ".bss")) and size <= _LARGEST:
            places.append((name, int(target.read(f"/sys/module/{module}/sections/{name}"), 16), size))
    contents = memory.read([(at, size) for _, at, size in places])
    return [_Section(name, at, data) for (name, at, _), data in zip(places, contents, strict=True)]


def _held(memory: KernelMemory, section: _Section) -> Iterator[int]:
    """Where a lock begins (its owner) that the task has which loaded the module."""
    words = memory.words(section.data)
    for index, word in enumerate(words[:-1]):
        head = section.at + index * memory.word
        if word != head or words[index + 1] != head:
            continue
        place = index * memory.word - _BETWEEN - memory.word
        if place < 0 or any(section.data[place + memory.word : place + memory.word + _BETWEEN]):
            continue
        task = words[place // memory.word] & ~_FLAGS
        if task and memory.is_mapped(task) and _is_loader(memory, task):
            yield place


def _is_loader(memory: KernelMemory, task: int) -> bool:
    (content,) = memory.read([(task, _TASK)])
    return any(content.startswith(_LOADER, at) for at in range(0, _TASK, memory.word))


def _overwritten(ko: ModuleFile, section: _Section, memory: KernelMemory) -> Iterator[int]:
    """Where a list stands that led to itself in the file, and leads nowhere now."""
    for at in quick.self_lists(ko, section.name):
        if not any(section.data[at : at + 2 * memory.word]):
            yield at


def _spinlocks(ko: ModuleFile) -> list[str]:
    """The names that the source has for spinlocks; none of a module that takes none."""
    if not any(map(_SPINS.fullmatch, quick.imports(ko))):
        return []
    return sorted({name for _, text in sources_of([ko]) for name in _SPINLOCK.findall(text)})


def _spinning(ko: ModuleFile, section: _Section, names: Sequence[str]) -> Iterator[str]:
    """The spinlocks of the section that are held. A lock of tickets (arm, riscv) is free where the one that
    is served is the next one; all others are 0 (include/asm-generic/ticket_spinlock.h and qspinlock.h, 6.12).
    """
    for name in names:
        place = ko.place(name)
        if place and place[0] == section.name:
            served, following = struct.unpack_from("=HH", section.data, place[1])
            if served != following:
                yield name


def _names(ko: ModuleFile, section: _Section, places: Sequence[int]) -> Iterator[str]:
    """The variables at these places that the source knows for locks, or that may have one inside of them."""
    sources = [text for _, text in sources_of([ko])] if places else []
    has_member = any(map(_MEMBER.search, sources)) and not any(map(_TASK_KEPT.search, sources))
    for at in places:
        found = quick.symbol_at(ko, section.name, at)
        if found and (_defines(sources, found[0]) or has_member):
            yield found[0]


def _defined(ko: ModuleFile, section: _Section, places: Sequence[int]) -> Iterator[str]:
    """The variables at these places that are locks themselves, by the source."""
    sources = [text for _, text in sources_of([ko])] if places else []
    for at in places:
        found = quick.symbol_at(ko, section.name, at)
        if found and _defines(sources, found[0]):
            yield found[0]


def _defines(sources: Sequence[str], name: str) -> bool:
    pattern = rf"\b(?:DEFINE_MUTEX|DECLARE_RWSEM)\s*\(\s*{re.escape(name)}\s*\)"
    return any(re.search(pattern, text) for text in sources)
