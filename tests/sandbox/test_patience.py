"""How long a guest is waited for: in time of its own, not in that which the machine gave to others."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from kscaffold import process
from kscaffold.sandbox.agent import protocol, running_clock
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import ChannelTimeout, Kind
from kscaffold.sandbox.agent.running_clock import LookingClock, RunningClock


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_time_without_a_processor_is_no_grace(wire):
    ours, theirs = wire
    looks = itertools.count()

    def cpu_wait() -> float:
        if next(looks) == 5:  # long after its deadline, had that been counted by a common clock
            theirs.sendall(protocol.frame(Kind.END, 7, 0, b"late, and right"))
        return time.monotonic()

    clock, began = RunningClock(cpu_wait=cpu_wait), time.monotonic()
    assert Channel(ours, clock).answer(7, 0.05).payload == b"late, and right"
    assert time.monotonic() - began > 0.2


def test_there_is_an_end_to_patience(wire, monkeypatch):
    ours, _ = wire
    monkeypatch.setattr(running_clock, "MOST_WAITING", 0.5)
    opened, began = Channel(ours, RunningClock(cpu_wait=time.monotonic)), time.monotonic()
    with pytest.raises(ChannelTimeout) as error:
        opened.answer(7, 0.2, grace=0.1)
    assert 0.75 <= time.monotonic() - began < 5 and not error.value.stopped
    # For each request anew; and a daemon gets more, but only where there is grace at all.
    opened.begin(protocol.Verb.LIST)
    again = time.monotonic()
    with pytest.raises(ChannelTimeout):
        opened.answer(7, 0.2)
    assert time.monotonic() - again >= 0.65
    for grace, least, most in ((0.0, 0.05, 2.0), (0.1, 2.15, 10.0)):
        patient, again = Channel(ours, patience=2.0), time.monotonic()
        with pytest.raises(ChannelTimeout):
            patient.answer(7, 0.05, grace=grace)
        assert least <= time.monotonic() - again < most


def test_a_guest_that_waits_a_little_all_the_time_gets_no_more_than_that(wire):
    """A busy loop beside others: each look finds that it waited, and its deadline comes nevertheless."""
    ours, _ = wire
    clock, began = RunningClock(cpu_wait=lambda: time.monotonic() / 4), time.monotonic()
    with pytest.raises(ChannelTimeout):
        Channel(ours, clock).answer(7, 0.6)
    assert 0.6 <= time.monotonic() - began < 10  # where each look began anew, it was minutes


def test_a_guest_that_had_no_processor_gets_what_it_lacks(wire):
    """A DUE is answered by what the clock here says that is left, and by 0 where nothing is."""
    ours, theirs = wire
    waited = iter([0.0, 0.6] + [0.6] * 99)
    opened = Channel(ours, RunningClock(cpu_wait=lambda: next(waited)))
    opened.clock.look()
    time.sleep(0.7)
    given = opened.now() + 0.2
    opened.prolong(given)
    opened.prolong(given - 0.75)
    words = [protocol.REQUEST.unpack(theirs.recv(protocol.REQUEST.size)) for _ in range(2)]
    assert [word[1] for word in words] == [protocol.Verb.PROLONG] * 2
    assert 700 < words[0][4] <= 800 and words[1][4] == 0


def test_who_says_that_it_is_at_work_has_its_grace_anew(wire):
    opened = Channel(wire[0], most=20)
    now = time.monotonic()
    assert opened.prolonged(now + 1000) == now + 1000
    assert now <= opened.prolonged(now - 1) <= now + 19
    assert opened.prolonged(now - 1000) == now - 980


def test_a_frame_that_has_half_come_at_the_deadline_is_not_lost(wire):
    ours, theirs = wire
    opened = Channel(ours)
    frame = protocol.frame(Kind.END, 7, 0, b"whole")
    for cut in (1, protocol.ANSWER.size, len(frame) - 1):
        theirs.sendall(frame[:cut])
        with pytest.raises(ChannelTimeout):
            opened.receive(7, time.monotonic() + 0.01)
        theirs.sendall(frame[cut:])
        kind, answer = opened.receive(7, time.monotonic() + 60)
        assert (kind, answer.payload) == (Kind.END, b"whole")


def test_it_is_seen_when_a_process_waits_for_a_processor():
    one = {min(os.sched_getaffinity(0))}
    with contextlib.ExitStack() as end:
        loops = []
        for _ in range(2):
            loop = subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL)
            end.callback(loop.wait)
            end.callback(loop.kill)
            os.sched_setaffinity(loop.pid, one)
            loops.append(loop)
        deadline = time.monotonic() + 60
        while not all(process.cpu_wait_seconds(loop.pid) > 0.01 for loop in loops):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert process.cpu_wait_seconds(loops[0].pid) == 0.0


def test_a_look_that_took_long_is_one_look():
    """A test of the log, and who watches for a late crash, give up after so many seconds of looks."""
    clock = LookingClock(iter([100.0, 100.1, 160.1, 160.15]).__next__)
    assert [round(clock.look(), 3) for _ in range(3)] == [0.1, 0.3, 0.35]
