"""Where a kernel has its symbols is asked once for all guests of a snapshot, and proven each time."""

from pathlib import Path

import pytest

from kscaffold.targets.kernel_memory import KernelMemory
from kscaffold.targets.symbol_addresses import symbol_addresses
from kscaffold.targets.timers import Links, Timer, armed_timers

BANNER, BASES, OFFSETS, JIFFIES, TREES = 0x1000, 0x2000, 0x9000, 0x9100, 0xA000
WAKES = 0x7777


class Memory(KernelMemory):
    """A machine of 64 bits whose memory is a few words, all else zeros."""

    def __init__(self, words: dict[int, int], text: dict[int, bytes] | None = None) -> None:
        self.order, self.letter, self.word, self.hole, self.end = "<", "Q", 8, "", 1 << 64
        self.bytes = dict(text or {})
        for address, word in words.items():
            self.bytes[address] = word.to_bytes(8, "little")

    def read(self, parts):
        found = []
        for address, size in parts:
            whole = bytearray(size)
            for at, piece in self.bytes.items():
                for index, byte in enumerate(piece):
                    if address <= at + index < address + size:
                        whole[at + index - address] = byte
            found.append(bytes(whole))
        return found

    def is_mapped(self, address: int) -> bool:
        return address >= 0x1000


def timer(at: int, back: int, bucket: int, expires: int, function: int, following: int = 0) -> dict[int, int]:
    """A struct timer_list in the first processor's wheel."""
    return dict(zip(range(at, at + 40, 8), (following, back, expires, function, bucket << 22), strict=True))


ADDRESSES = {
    "__per_cpu_offset": OFFSETS,
    "hrtimer_bases": TREES,
    "hrtimer_wakeup": WAKES + 1,
    "jiffies": JIFFIES,
    "process_timeout": WAKES,
    "timer_bases": BASES,
}


def test_a_wheel_is_followed_and_what_only_looks_like_a_timer_is_not():
    ticks = (1 << 32) - 250 * 290  # 10 s after a start at 250 Hz
    slot = BASES + 0x40 + 5 * 8
    words = {
        OFFSETS: 0,
        JIFFIES: ticks,
        slot: 0x20000,
        **timer(0x20000, slot, 5, ticks + 500, 0x4000, following=0x21000),
        **timer(0x21000, 0x20000, 5, ticks - 1, WAKES),
        0x21000 + 48: 0xC0FFEE,
        BASES + 0x800: 0x30000,  # its entry does not lead back
        **timer(0x30000, 0x1, 3, ticks, 0x5000),
        BASES + 0x900: 0x50000,  # and neither is anything there
        TREES + 0x40: 0x60000,
        # a node: parent, right, left, expires, soonest, function, base, state
        **dict(
            zip(range(0x60000, 0x60040, 8), (0, 0, 0, 12_000_000_000, 0, 0x8000, TREES + 64, 1), strict=True)
        ),
        TREES + 0x80: 0x61000,  # not enqueued any more
        **dict(zip(range(0x61000, 0x61040, 8), (0, 0, 0, 1, 0, 0x8000, TREES + 64, 0), strict=True)),
    }
    found = {t.at: t for t in armed_timers(Memory(words), ADDRESSES, 10.0)}
    assert found[0x20000] == Timer("timer", 0x20000, 0x4000, 0, 2.0, late=0.004)
    sleeper = found[0x21000]
    assert (sleeper.function, sleeper.seconds) == (WAKES, 0.0) and 0xC0FFEE in sleeper.stack
    assert found[0x60000] == Timer("hrtimer", 0x60000, 0x8000, 0, 2.0)
    assert set(found) == {0x20000, 0x21000, 0x60000}


def test_a_list_that_goes_round_in_a_circle_is_followed_once():
    class Counted(Memory):
        reads = 0

        def read(self, parts):
            self.reads += 1
            return super().read(parts)

    head = BASES + 0x3000
    empty = {head: head, head + 8: head, head + 24: 0x4000}  # an empty list's head points to itself
    memory = Counted({OFFSETS: 0, JIFFIES: 1 << 32, **empty})
    armed_timers(memory, ADDRESSES, 300.0)
    assert memory.reads <= 10


def test_a_timer_whose_memory_went_does_not_hide_those_behind_it():
    """Three modules have their timers in one bucket, and two nodes of a tree lie below one that went."""
    ticks = (1 << 32) - 250 * 290
    slot = BASES + 0x40 + 5 * 8
    fixed = {OFFSETS: 0, JIFFIES: ticks, slot: 0x20000, TREES + 0x60: 0x60000}
    first = timer(0x20000, slot, 5, ticks, 0x4000, following=0x21000)
    second = timer(0x21000, 0x20000, 5, ticks, 0x4100, following=0x22000)
    third = timer(0x22000, 0x21000, 5, ticks, 0x4200)

    def node(at: int, right: int, left: int) -> dict[int, int]:
        return dict(zip(range(at, at + 64, 8), (0, right, left, 1, 0, at + 1, TREES + 64, 1), strict=True))

    root, below = node(0x60000, 0x61000, 0x62000), node(0x61000, 0, 0) | node(0x62000, 0, 0)
    links = Links()
    whole = {**fixed, **first, **second, **third, **root, **below}

    def functions(words: dict[int, int], links: Links | None) -> set[int]:
        return {t.function for t in armed_timers(Memory(words), ADDRESSES, 10.0, links)} - {0}

    everything = {0x4000, 0x4100, 0x4200, 0x60001, 0x61001, 0x62001}
    assert functions(whole, links) == everything
    left = {**fixed, **third, **below}  # two modules went, and the root of the tree with them
    assert functions(left, links) == {0x4200, 0x61001, 0x62001}
    assert functions(left, None) == set()

    def gone(words: dict[int, int]) -> set[int]:
        return {t.at for t in armed_timers(Memory(words), ADDRESSES, 10.0, links) if not t.function}

    # Of those that went, the two that the kernel itself points to are seen to be armed: one behind them may
    # have been stopped before they went. One that was seen behind them later can't have been.
    assert gone(left) == {0x20000, 0x60000}
    assert gone({**fixed, **node(0x62000, 0, 0)}) == {0x20000, 0x22000, 0x60000, 0x61000}
    # What was behind, and is armed no more, does not lead back.
    assert functions({**left, 0x22000 + 8: 0, 0x61000 + 56: 0}, links) == {0x62001}


def test_a_pointer_that_nobody_follows_arms_no_timer():
    """A timer was armed and has gone with its module; what still points to it is none of the kernel's
    chains.
    """
    ticks = (1 << 32) - 250 * 290
    slot, root = BASES + 0x40 + 5 * 8, TREES + 0x60
    stale = {
        BASES + 8: 0x20000,  # before the buckets
        BASES + 0x40 + 576 * 8: 0x20000,  # and behind them
        TREES + 0x20: 0x60000,  # before the clocks
        TREES + 0xC0: 0x60000,  # in another clock
    }
    node = dict(zip(range(0x60000, 0x60040, 8), (0, 0, 0, 1, 0, 0x8000, TREES + 64, 1), strict=True))
    words = {OFFSETS: 0, JIFFIES: ticks, slot: 0x20000, root: 0x60000, **stale}
    links = Links()
    both = armed_timers(
        Memory({**words, **timer(0x20000, slot, 5, ticks, 0x4000), **node}), ADDRESSES, 10.0, links
    )
    assert {(t.at, t.function) for t in both} == {(0x20000, 0x4000), (0x60000, 0x8000)}

    def gone(words: dict[int, int]) -> set[int]:
        return {t.at for t in armed_timers(Memory(words), ADDRESSES, 10.0, links)}

    assert gone(words) == {0x20000, 0x60000}
    assert gone({**words, slot: 0, root: 0}) == set()
    # It had set itself again: another bucket of the same wheel.
    assert gone({**words, slot: 0, slot + 80: 0x20000, root: 0}) == {0x20000}


def test_a_tick_that_was_overwritten_when_its_memory_was_freed_is_not_believed():
    """Of what lies in the right bucket for its tick, the time is told; of what does not, and was seen there
    before, only that it is armed.
    """
    now = (1 << 32) - 250 * 290
    for seconds in (1, 2, 20, 200, 3600, 3 * 3600):
        due = now + 250 * seconds
        level = next(n for n in range(9) if due - now < 63 * 8**n)
        bucket = 64 * level + ((due >> 3 * level) + 1) % 64
        slot = BASES + 0x40 + 8 * bucket
        late = (8**level - due % 8**level) / 250  # s, until the kernel looks at that bucket
        words = {OFFSETS: 0, JIFFIES: now, slot: 0x20000}
        good = {**words, **timer(0x20000, slot, bucket, due, 0x4000)}
        # The pointer of a hardened freelist, or of a plain one.
        for pointer in (0x5A17C0FFEE123456, 0xFFFF888003EE1C00):
            freed = {**good, 0x20000 + 16: pointer}
            links, told = Links(), [(0x4000, seconds, late)]
            for each, timers in ((good, told), (freed, [(0, 0.0, 0.0)]), (good, told)):
                found = armed_timers(Memory(each), ADDRESSES, 10.0, links)
                assert [(t.function, t.seconds, t.late) for t in found] == timers, (seconds, pointer)


def test_what_changes_while_it_is_read_proves_no_end():
    """A pointer that led to no timer, in memory that was read anew because it had changed."""
    ticks = (1 << 32) - 250 * 290
    slot = BASES + 0x40 + 5 * 8
    links = Links()
    words = {OFFSETS: 0, JIFFIES: ticks, slot: 0x20000}
    armed_timers(Memory({**words, **timer(0x20000, slot, 5, ticks, 0x4000)}), ADDRESSES, 10.0, links)

    class Changing(Memory):
        def read(self, parts):
            found = super().read(parts)
            if (BASES, 16 << 10) in parts and self.bytes[slot] != bytes(8):
                self.bytes[slot] = bytes(8)  # it ends once the first reading is over
            return found

    assert armed_timers(Changing(words), ADDRESSES, 10.0, links) == []


def test_a_kernel_that_is_never_still_hides_no_timer():
    """On a busy machine the kernel sets a timer of its own between any two looks."""
    ticks = (1 << 32) - 250 * 290
    slot = BASES + 0x40 + 5 * 8
    links = Links()
    node = dict(zip(range(0x60000, 0x60040, 8), (0, 0, 0, 1, 0, 0x8000, TREES + 64, 1), strict=True))
    words = {OFFSETS: 0, JIFFIES: ticks, slot: 0x20000, TREES + 0x60: 0x60000}
    whole = {**words, **timer(0x20000, slot, 5, ticks, 0x4000), **node}
    armed_timers(Memory(whole), ADDRESSES, 10.0, links)

    class Busy(Memory):
        looks = 0

        def read(self, parts):
            self.looks += 1
            for place in (BASES + 0x40 + 9 * 8, TREES + 0xA0):
                self.bytes[place] = (0x30000 + self.looks * 8).to_bytes(8, "little")
            return super().read(parts)

    assert {t.at for t in armed_timers(Busy(words), ADDRESSES, 10.0, links)} == {0x20000, 0x60000}


def test_addresses_are_asked_for_once_and_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def look_up(names):
        asked.append(tuple(names))
        return [BANNER if name == "linux_banner" else 5 for name in names]

    right = Memory({}, {BANNER: b"Linux version 6.1"})
    for _ in range(2):
        assert symbol_addresses(right, "6.1 tcg", ("jiffies",), look_up)["jiffies"] == 5
    assert len(asked) == 1
    # Another boot of that kernel has them elsewhere: what was kept is not believed, nor what proves nothing.
    with pytest.raises(ValueError):
        symbol_addresses(Memory({}), "6.1 tcg", ("jiffies",), look_up)
    assert len(asked) == 2
    # A kernel that tells of functions only never will.
    for _ in range(2):
        with pytest.raises(ValueError):
            symbol_addresses(
                right, "other", ("jiffies",), lambda names: asked.append(names) or [0] * len(names)
            )
    assert len(asked) == 3
