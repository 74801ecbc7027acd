"""The timers that wait in a guest's kernel: whom they will call, and when.

They are read from the kernel's memory. (/proc/timer_list has those of high resolution; but the kernel follows
their tree to make it, and dies where a part of that has been given back.) No layout is believed but that of
the timers themselves: each proves itself by a pointer or a number that leads back to where it was found.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from kscaffold.records import dataclass, field, replace
from kscaffold.targets.kernel_memory import KernelMemory

SYMBOLS = ("__per_cpu_offset", "hrtimer_bases", "hrtimer_wakeup", "jiffies", "process_timeout", "timer_bases")
"""The symbols by whose addresses a kernel's timers are found."""

_WHEEL = 16 << 10  # bytes: two or three struct timer_base of up to 576 buckets each
_TREES = 2 << 10  # bytes: struct hrtimer_cpu_base with its eight clocks
_CLOCK = 64  # bytes of struct hrtimer_clock_base that are not there to align it
_DEEPEST = 64  # entries of a bucket, levels of a tree
_TRIES = 5
_STACK = 64  # words of a stack: from schedule_timeout() up to who called what called it
# struct timer_list's flags: the number of its processor, and that of its bucket (include/linux/timer.h).
_PROCESSOR, _BUCKET, _MOST_BUCKETS = (1 << 18) - 1, 22, 576
_ENQUEUED = 1  # of struct hrtimer's state
_HZ = (24, 48, 64, 100, 128, 200, 250, 256, 300, 500, 512, 1000, 1024, 1200)
_BOOT = 300  # s before it overflows that the kernel's count of ticks begins (INITIAL_JIFFIES)
Pointers = list[tuple[int, int]]
"""Each with the address that it stands at."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that is armed. `at`: the address of its struct; `function`: what it calls, and `work`: what
    that will run, where it is a delayed work; `seconds`: until it is due. These are 0 where no timer is seen
    at the address that the kernel has: what was one there has been given back, or it never was one. `stack`:
    of a timer that ends a sleep, what the sleeping task's stack has above it. `late`: seconds from then until
    the kernel looks whether it is due.
    """

    kind: Literal["timer", "hrtimer"]
    at: int
    function: int = 0
    work: int = 0
    seconds: float = 0.0
    stack: tuple[int, ...] = ()
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Links:
    """Where each timer was and led when it was last seen. A timer whose memory has been given back since is
    still a link of the kernel's chain, and those behind it are armed as before; a pointer to it elsewhere
    than in that chain says nothing. `entries`: by the address of each entry of the wheel, the next one, the
    number of their bucket, where the buckets of their base begin, and whether the one before it had gone
    then: to take it out of the chain would have crashed the kernel. `nodes`: by that of each node of a tree,
    the right and the left one below it, its clock's base, and whether the one above it had gone.
    """

    entries: dict[int, tuple[int, int, int, bool]] = field(default_factory=dict)
    nodes: dict[int, tuple[int, int, int, bool]] = field(default_factory=dict)


def armed_timers(
    memory: KernelMemory, addresses: Mapping[str, int], uptime: float, links: Links | None = None
) -> list[Timer]:
    """All armed timers of the one processor, each once. `addresses`: of SYMBOLS; `uptime`: seconds since its
    start; `links`: what earlier calls for this kernel saw, which is brought up to date.
    """
    links = links or Links()
    offset, ticks = (memory.words(data)[0] for data in memory.read(
        [(addresses["__per_cpu_offset"], memory.word), (addresses["jiffies"], memory.word)]
    ))  # fmt: skip
    wheel, trees = ((addresses[name] + offset) % memory.end for name in ("timer_bases", "hrtimer_bases"))
    clock = _Clock(ticks, _rate(ticks, uptime), memory.end)
    found = _all_of(
        memory, wheel, _WHEEL, lambda heads: _of_wheel(memory, wheel, heads, clock, links.entries)
    )
    found += _all_of(
        memory, trees, _TREES, lambda roots: _of_trees(memory, trees, roots, uptime, links.nodes)
    )
    return _with_stacks(memory, found, (addresses["process_timeout"], addresses["hrtimer_wakeup"]))


def _all_of(
    memory: KernelMemory, start: int, size: int, follow: Callable[[Pointers], Iterable[Timer]]
) -> list[Timer]:
    """The timers that `follow` finds behind the pointers in a piece of memory. Read again where the pointers
    changed meanwhile: what they led to is a timer or is none, but that there was none once proves nothing.
    """

    def pointers() -> Pointers:
        (content,) = memory.read([(start, size)])
        words = enumerate(memory.words(content))
        return [(at, start + index * memory.word) for index, at in words if at and memory.is_mapped(at)]

    found: dict[int, Timer] = {}
    gone: dict[int, Timer] = {}
    proven: dict[int, Timer] = {}
    for _ in range(_TRIES):
        before = pointers()
        seen = {timer.at: timer for timer in follow(before)}
        last, gone = gone, {at: timer for at, timer in seen.items() if not timer.function}
        found |= {at: timer for at, timer in seen.items() if timer.function}
        # On a busy machine some pointer has always changed: what is twice in a row in the kernel's chains,
        # and is no timer, was none all the time between.
        proven |= {at: gone[at] for at in gone.keys() & last.keys()}
        if pointers() == before:
            proven |= gone
            break
    return list((proven | found).values())


class _Clock(NamedTuple):
    """The kernel's count of ticks, their number a second, and the first number that is too large for it."""

    ticks: int
    rate: int
    end: int

    def left(self, expires: int) -> int:
        """Ticks until then; 0 where that is over."""
        passed = (expires - self.ticks) % self.end
        return 0 if passed >= self.end // 2 else passed

    def late(self, expires: int, bucket: int) -> float:
        """Seconds from then until the kernel looks at this bucket, which it does when the last timer of the
        bucket is due: of 5 s, a quarter of one.
        """
        span = 1 << 3 * (bucket // 64)
        return (span - expires % span) / self.rate

    def fits(self, expires: int, bucket: int) -> bool:
        """Whether a timer that is due then is in the right bucket. Who frees an object writes a pointer into
        its middle (mm/slub.c), which is where a delayed work has its tick; the bucket decides when the kernel
        calls it.

        Of nine levels of 64 buckets each is eight times as coarse as the one before (calc_wheel_index() of
        kernel/time/timer.c). The first has what is overdue as well, the last ones what is too far away.
        """
        level, slot = divmod(bucket, 64)
        near = self.left(expires) <= 64 << 3 * level and ((expires >> 3 * level) + 1) % 64 == slot
        return near or not 1 <= level <= 6


class _Entry(NamedTuple):
    """A struct timer_list, and the word before it."""

    work: int
    following: int
    before: int
    expires: int
    function: int
    flags: int


class _Link(NamedTuple):
    """An address in a chain, and where the pointer to it stands. `bucket`: the chain's number, and `buckets`:
    where the array of its base's chains begins, None where the pointer is not known to be in a chain;
    `is_read`: whether that pointer was read now, and not remembered.
    """

    at: int
    back: int
    bucket: int | None = None
    buckets: int | None = None
    is_read: bool = True


def _of_wheel(
    memory: KernelMemory,
    wheel: int,
    heads: Pointers,
    clock: _Clock,
    known: dict[int, tuple[int, int, int, bool]],
) -> Iterator[Timer]:
    """The timers of all buckets, which are hash lists: the second pointer of an entry leads back to the
    pointer to it. The word before one is the function of the work that a delayed work's timer is in (struct
    delayed_work).
    """
    form = struct.Struct(f"{memory.order}5{memory.letter}I")
    waiting = [_Link(at, back) for at, back in heads]
    # Behind the wheel are heads of other lists, which go round in circles: each link is followed once.
    followed = set[tuple[int, int]]()
    for _ in range(_DEEPEST):
        following: list[_Link] = []
        content = memory.read([(link.at - memory.word, form.size) for link in waiting])
        for link, data in zip(waiting, content, strict=True):
            entry = _Entry(*form.unpack(data))
            # The pointer to a first entry lies in its base's array of buckets; all of a bucket have its
            # number.
            bucket = entry.flags >> _BUCKET
            buckets = link.back - bucket * memory.word if link.buckets is None else link.buckets
            is_timer = entry.before == link.back and entry.function and not entry.flags & _PROCESSOR
            in_array = link.bucket in (None, bucket) and bucket < _MOST_BUCKETS and buckets >= wheel
            if is_timer and in_array:
                if link.at in known and not clock.fits(entry.expires, bucket):
                    yield Timer("timer", link.at)
                else:
                    left, late = clock.left(entry.expires) / clock.rate, clock.late(entry.expires, bucket)
                    yield Timer("timer", link.at, entry.function, entry.work, left, late=late)
                known[link.at] = (entry.following, bucket, buckets, not link.is_read)
                following.append(_Link(entry.following, link.at, bucket, buckets))
                continue
            behind, bucket, buckets, is_stuck = known.get(link.at, (0, 0, 0, False))
            slot = link.back - buckets if link.bucket is None else link.bucket * memory.word
            if (link.is_read or is_stuck) and 0 <= slot < _MOST_BUCKETS * memory.word:
                yield Timer("timer", link.at)
            if slot == bucket * memory.word:  # what follows proves itself, as each does, by its pointer back
                following.append(_Link(behind, link.at, bucket, buckets, is_read=False))
        followed |= {(link.at, link.back) for link in waiting}
        waiting = [link for link in following if link.at and (link.at, link.back) not in followed]
        if not waiting:
            return


def _of_trees(
    memory: KernelMemory,
    trees: int,
    roots: Pointers,
    uptime: float,
    known: dict[int, tuple[int, int, int, bool]],
) -> Iterator[Timer]:
    """The timers of high resolution, which are nodes of red-black trees: each has a pointer to its clock's
    base.
    """
    # struct hrtimer: parent and colour, right, left, expires, its earliest time, function, base, state.
    form = struct.Struct(f"{memory.order}3{memory.letter}{memory.hole}2q2{memory.letter}B")
    # A root that was a timer is still armed where its own clock points to it: the base of all clocks keeps
    # pointers that nobody follows (hrtimer_cpu_base.next_timer).
    armed = {at for at, slot in roots if at in known and 0 < slot - known[at][2] < _CLOCK}
    waiting = {at for at, _ in roots}
    seen, below_gone = set(waiting), set[int]()
    for _ in range(_DEEPEST):
        children: set[int] = set()
        places = sorted(waiting)
        for at, data in zip(places, memory.read([(at, form.size) for at in places]), strict=True):
            _, right, below, expires, _, function, base, state = form.unpack(data)
            if function and state & _ENQUEUED and trees <= base < trees + _TREES:
                yield Timer("hrtimer", at, function, 0, max(0.0, expires / 1e9 - uptime))
                known[at] = (right, below, base, at in below_gone)
                armed |= {right, below}
            elif at in armed or (at in below_gone and known.get(at, (0, 0, 0, False))[3]):
                yield Timer("hrtimer", at)
                below_gone |= set(known.get(at, ())[:2])
            children |= {child for child in known.get(at, ())[:2] if child and memory.is_mapped(child)}
        waiting = children - seen
        seen |= children
        if not waiting:
            return


def _with_stacks(memory: KernelMemory, timers: Iterable[Timer], wakes: Iterable[int]) -> list[Timer]:
    """The timers; those of sleeps, which call one of `wakes`, with what their stacks have."""
    found, wakers = list(timers), set(wakes)
    sleeps = [index for index, timer in enumerate(found) if timer.function in wakers]
    stacks = memory.read([(found[index].at, _STACK * memory.word) for index in sleeps])
    for index, stack in zip(sleeps, stacks, strict=True):
        found[index] = replace(found[index], stack=memory.words(stack))
    return found


def _rate(ticks: int, uptime: float) -> int:
    """Ticks a second (CONFIG_HZ), by the count of ticks after so many seconds."""
    passed = uptime - _BOOT
    if abs(passed) < 1:
        return 250
    rate = (ticks - (1 << 32)) / passed
    return min(_HZ, key=lambda hz: abs(hz - rate))
