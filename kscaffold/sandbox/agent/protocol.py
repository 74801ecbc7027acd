"""The frames between host and guest. guest/agent.c has the same layout; a test compares the two.

Every request carries a nonce that its answer must repeat. What a module prints travels as counted bytes
inside an answer, so no text of its can be taken for one. All numbers are little-endian, whatever the guest's
machine.

    request   magic u32, verb u32, nonce u64, argument u32, timeout_ms u32, length u32, 0 u32, payload
    answer    magic u32, kind u32, nonce u64, status s32, length u32, payload

A request is answered by an ACK when the work has begun, more of them while a long answer is put together,
any OUTPUT (a shell's), and one END. Where the guest's kernel asks for a module meanwhile, a WANT with its
name comes, and a PROVIDE is its answer.

The daemon of a live sandbox (live/daemon.py) speaks the same protocol on its socket: it passes requests and
answers on, greets each client with a WELCOME, and sends LOST instead of END when its guest is lost.
"""

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from enum import IntEnum

from kscaffold.records import dataclass
from kscaffold.sandbox.agent.running_clock import RunningClock

MAGIC = 0x3143534B
REQUEST = struct.Struct("<IIQIIII")
ANSWER = struct.Struct("<IIQiI")
# result, returned, signal, lost, start, end, head, cut, tail, trace, stack, running
OUTCOME = struct.Struct("<iiiIQQIIIIII")

MAX_PAYLOAD = 64 << 20
"""Bytes in one request: more than any module, less than the guest's memory."""

MAX_ANSWER = 8 << 20

MOST_GRACE = 20.0
"""The most seconds beyond a deadline that a guest gets, whatever slows it down."""


class Verb(IntEnum):
    """The requests; agent.c has the same numbers."""

    HELLO = 1
    LOAD = 2
    UNLOAD = 3
    LIST = 4
    LOG = 5
    READ = 6
    WRITE = 7
    RUN = 8
    SHELL = 9
    INPUT = 10
    RESIZE = 11
    POWEROFF = 12
    PHOTOGRAPH = 13
    PEEK = 14
    SYMBOLS = 15
    PROVIDE = 16
    POINTERS = 17
    EXEC = 32  # a user's program, and its files
    SIGNAL = 33
    INSTALL = 34
    # For the daemon itself.
    STOP = 100


class Kind(IntEnum):
    """The kinds of answer frames."""

    ACK = 1
    END = 2
    OUTPUT = 3
    LOST = 4
    WELCOME = 5
    WANT = 6


_KINDS = frozenset(Kind)
_LEFTOVERS = 5.0  # s after a deadline in which frames of given-up requests are read


class ChannelClosed(Exception):
    """The guest has gone, or speaks nonsense. `acknowledged`: it had begun the work. `reset`: its
    machine reset itself, nobody killed it. `console`: its last words, where a daemon passed them on.
    """

    def __init__(self, why: str, *, console: str = "", reset: bool = False) -> None:
        super().__init__(why)
        self.console = console
        self.reset = reset
        self.acknowledged = False
        self.nonce = 0


class ChannelTimeout(Exception):
    """The guest lives and did not answer in time. The attributes are those of ChannelClosed. `stopped`: a
    signal keeps it from running.
    """

    def __init__(self, console: str = "", *, stopped: bool = False) -> None:
        super().__init__("no answer in time")
        self.console = console
        self.acknowledged = False
        self.nonce = 0
        self.stopped = stopped


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a request: `status` 0, or minus an errno of the agent's own."""

    status: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a child in the guest brought back from finit_module or delete_module.

    `result` is what the system call returned (0 or minus an errno), None when it never came back.
    `signal` is what killed the child, 0 for none; `running`: it still had not ended at the deadline.
    `records` are raw /dev/kmsg records of the call's time; `gap` is the index of the first record
    after a cut (None: nothing is missing), `cut` the bytes left out there, `lost` how often the
    kernel's ring overran the reader. Times are CLOCK_MONOTONIC of the guest in ns.
    """

    result: int | None
    signal: int
    running: bool
    start_ns: int
    end_ns: int
    records: tuple[bytes, ...]
    gap: int | None
    cut: int
    lost: int
    trace: str
    stack: str


def request(verb: Verb, nonce: int, payload: bytes = b"", *, argument: int = 0, timeout: float = 0) -> bytes:
    """One request as bytes. `timeout` in seconds is the guest's own deadline for the work."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError("payload too large")
    milliseconds = min(int(timeout * 1000), 0x7FFFFFFF)
    return REQUEST.pack(MAGIC, verb, nonce, argument, milliseconds, len(payload), 0) + payload


def outcome(payload: bytes) -> Outcome:
    """The outcome in the payload of an answer to LOAD or UNLOAD. Raises ChannelClosed on nonsense."""
    if len(payload) < OUTCOME.size:
        raise ChannelClosed("a short outcome")
    result, returned, signal, lost, start, end, *rest = OUTCOME.unpack_from(payload)
    head_length, cut, tail_length, trace_length, stack_length, running = rest
    if OUTCOME.size + head_length + tail_length + trace_length + stack_length != len(payload):
        raise ChannelClosed("an outcome that does not add up")
    at = OUTCOME.size
    head = records(payload[at : at + head_length])
    at += head_length
    tail = payload[at : at + tail_length]
    at += tail_length
    if cut:  # the oldest record of the tail is a fragment
        tail = tail.partition(b"\0")[2]
    trace = payload[at : at + trace_length].decode(errors="replace")
    stack = payload[at + trace_length :].decode(errors="replace")
    return Outcome(
        result=result if returned else None,
        signal=signal,
        running=bool(running),
        start_ns=start,
        end_ns=end,
        records=(*head, *records(tail)),
        gap=len(head) if cut else None,
        cut=cut,
        lost=lost,
        trace=trace,
        stack=stack,
    )


def still_running(payload: bytes) -> bool:
    """Whether an outcome's call had not come back at its deadline."""
    return len(payload) >= OUTCOME.size and bool(OUTCOME.unpack_from(payload)[-1])


def records(payload: bytes) -> list[bytes]:
    """The NUL-separated records of a LOG answer."""
    return [record for record in payload.split(b"\0") if record]


def frame(kind: Kind, nonce: int, status: int = 0, payload: bytes = b"") -> bytes:
    """One answer frame as bytes, as the agent and the daemon send it."""
    return ANSWER.pack(MAGIC, kind, nonce, status, len(payload)) + payload


# Gives the modules, ready to load, that a name stands for, each after those that it needs; None where there
# is no such module.
Provide = Callable[[str], Sequence[bytes] | None]


def provided(nonce: int, kos: Sequence[bytes] | None) -> bytes:
    """The answer to a WANT as bytes. Modules too large for one request are none."""
    payload = b"".join(len(ko).to_bytes(4, "little") + ko for ko in kos or ())
    if kos is None or len(payload) > MAX_PAYLOAD:
        return request(Verb.PROVIDE, nonce)
    return request(Verb.PROVIDE, nonce, payload, argument=len(kos) + 1)


SILENT, RESET, GONE, STOPPED = 1, 2, 3, 4
"""The status of a LOST frame; the payload is the text of the guest's console."""


def lost(answer: Answer) -> ChannelClosed | ChannelTimeout:
    """The exception for a LOST frame: the one that is raised for a guest without a daemon."""
    console = answer.payload.decode(errors="replace")
    if answer.status in (SILENT, STOPPED):
        return ChannelTimeout(console, stopped=answer.status == STOPPED)
    return ChannelClosed("the guest has gone", console=console, reset=answer.status == RESET)


class Channel:
    """The host's end of one guest's port. One request at a time; not for several threads.

    `cpu_wait`: seconds that the guest was ready to run so far and had no processor of this machine. A guest
    can't answer in these seconds, so they do not count as grace. `most`: the most seconds of grace.
    `is_stopped`: whether a signal keeps the guest from running. Deadlines are of `now`.
    """

    def __init__(
        self,
        sock: socket.socket,
        cpu_wait: Callable[[], float] = lambda: 0.0,
        most: float = MOST_GRACE,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = RunningClock(is_stopped)
        self._sock = sock
        self._cpu_wait = cpu_wait
        self._most = most
        sock.setblocking(False)
        self._unread = b""

    def now(self) -> float:
        """Seconds in which the guest could run: what its deadlines are made of."""
        return self._clock.now()

    def wait_for(self, poll: select.poll, deadline: float) -> list[tuple[int, int]]:
        """What poll(2) gives until the deadline."""
        return self._clock.wait(poll, deadline)

    def fileno(self) -> int:
        """For select: readable when the guest has gone."""
        return self._sock.fileno()

    def wait(self, seconds: float) -> None:
        """Sleep so many seconds, or until there is something to read or the guest has gone."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.poll(seconds * 1000)

    def has_unread(self) -> bool:
        """Whether bytes were read that `receive` has not returned yet: select does not see those."""
        return bool(self._unread)

    def close(self) -> None:
        """Close the connection to the guest."""
        self._sock.close()

    def ask(
        self,
        verb: Verb,
        payload: bytes = b"",
        *,
        argument: int = 0,
        timeout: float,
        grace: float = 2.0,
        provide: Provide | None = None,
    ) -> Answer:
        """Send a request and wait for its END.

        `timeout`: seconds the guest gets for the work; `grace`: seconds more until it is given up. `provide`
        finds the modules that the guest's kernel asks for meanwhile. Raises ChannelTimeout and ChannelClosed.
        """
        nonce = self.begin(verb, payload, argument=argument, timeout=timeout, grace=grace)
        return self.answer(nonce, timeout, grace, provide)

    def answer(
        self, nonce: int, timeout: float, grace: float = 0.0, provide: Provide | None = None
    ) -> Answer:
        """Wait for the END of a request that `begin` sent, as `ask` does."""
        given = deadline = self.now() + timeout
        acknowledged = False
        try:
            while True:
                kind, answer = self.receive(nonce, deadline, grace)
                if kind is Kind.END:
                    return answer
                if kind is Kind.LOST:
                    raise lost(answer)
                if kind is Kind.WANT:
                    given += self.give(nonce, answer, provide)
                acknowledged = True
                deadline = self.prolonged(given)
        except (ChannelClosed, ChannelTimeout) as error:
            error.acknowledged, error.nonce = acknowledged, nonce
            raise

    def give(self, nonce: int, want: Answer, provide: Provide | None) -> float:
        """Answer a WANT; the seconds that finding the modules took."""
        began = self.now()
        kos = provide(want.payload.decode(errors="replace")) if provide else None
        spent = self.now() - began
        self.send(provided(nonce, kos), self.now() + self._most)
        return spent

    def begin(
        self, verb: Verb, payload: bytes = b"", *, argument: int = 0, timeout: float = 0, grace: float = 2.0
    ) -> int:
        """Send a request and return its nonce, which `receive` and `answer` take."""
        nonce = int.from_bytes(os.urandom(8), "little")
        frames = request(verb, nonce, payload, argument=argument, timeout=timeout)
        self.send(frames, self.now() + timeout + grace)
        return nonce

    def prolonged(self, deadline: float) -> float:
        """The new deadline of a guest that has just said that it is at work: its grace starts again."""
        return min(max(deadline, self.now()), deadline + self._most)

    def receive(self, nonce: int, deadline: float, grace: float = 0.0) -> tuple[Kind, Answer]:
        """The next frame of the answer to `nonce`. Frames of earlier, given-up requests are dropped.

        `grace`: seconds beyond the deadline, in which the guest had a processor.
        """
        try:
            return self._receive(nonce, deadline)
        except ChannelTimeout:
            before = self._cpu_wait()
        ends = deadline
        while True:
            enough = deadline + min(grace + self._cpu_wait() - before, self._most if grace else 0.0)
            if enough <= ends:
                raise ChannelTimeout(stopped=self._clock.is_stopped())
            ends = enough
            with contextlib.suppress(ChannelTimeout):
                return self._receive(nonce, ends)

    def _receive(self, nonce: int, deadline: float) -> tuple[Kind, Answer]:
        while True:
            self._fill(ANSWER.size, deadline)
            magic, kind, its_nonce, status, length = ANSWER.unpack_from(self._unread)
            if magic != MAGIC or length > MAX_ANSWER or kind not in _KINDS:
                raise ChannelClosed("the guest's answer is no frame of ours")
            end = ANSWER.size + length
            self._fill(end, deadline)  # nothing is taken before all is there: it may be asked for again
            payload, self._unread = self._unread[ANSWER.size : end], self._unread[end:]
            if its_nonce == nonce:
                return Kind(kind), Answer(status, payload)
            if self.now() > deadline + _LEFTOVERS:  # nobody else's answers are read for ever
                raise ChannelTimeout

    def welcome(self, deadline: float) -> Answer:
        """Wait for the daemon's greeting. Raises ChannelTimeout while another client has the sandbox."""
        kind, answer = self.receive(0, deadline)
        if kind is not Kind.WELCOME:
            raise ChannelClosed("that is no sandbox's daemon")
        return answer

    def send(self, data: bytes, deadline: float) -> None:
        """Send bytes that are whole frames. Raises ChannelTimeout and ChannelClosed."""
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT, deadline)
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChannelClosed(str(error)) from None

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._unread) < size:
            self._wait(select.POLLIN, deadline)
            try:
                part = self._sock.recv(1 << 18)
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not part:
                raise ChannelClosed("the guest has gone")
            self._unread += part

    def _wait(self, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._sock, event)
        if not self._clock.wait(poll, deadline):
            raise ChannelTimeout(stopped=self._clock.is_stopped())
