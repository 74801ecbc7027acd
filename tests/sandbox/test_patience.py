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
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.protocol import Channel, ChannelTimeout, Kind


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_time_without_a_processor_is_no_grace(wire):
    ours, theirs = wire
    looks = itertools.count()

    def cpu_wait() -> float:
        if (look := next(looks)) == 3:  # long after its grace, had it been counted by the clock
            theirs.sendall(protocol.frame(Kind.END, 7, 0, b"late, and right"))
        return look * 1e-3

    assert Channel(ours, cpu_wait, most=1e9).answer(7, 0, grace=1e-3).payload == b"late, and right"


def test_there_is_an_end_to_patience(wire):
    ours, _ = wire
    began = time.monotonic()
    with pytest.raises(ChannelTimeout):
        Channel(ours, time.monotonic, most=0.05).answer(7, 0, grace=1e6)
    assert time.monotonic() - began >= 0.05
    with pytest.raises(ChannelTimeout):
        Channel(ours, time.monotonic, most=1e6).answer(7, 0)  # no grace, no patience


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
