"""The frames between host and guest. guest/agent.c has the same layout; a test compares the two.

Every request carries a nonce that its answer must repeat. What a module prints travels as counted bytes
inside an answer, so no text of its can be taken for one. All numbers are little-endian, whatever the guest's
machine.

    request   magic u32, verb u32, nonce u64, argument u32, timeout_ms u32, length u32, 0 u32, payload
    answer    magic u32, kind u32, nonce u64, status s32, length u32, payload

A request is answered by an ACK when the work has begun, more of them while a long answer is put together,
any OUTPUT (a shell's), and one END. Where the guest's kernel asks for a module meanwhile, a WANT with its
name comes, and a PROVIDE is its answer. Where a call has not come back at its deadline, a DUE comes, and a
PROLONG is its answer: `timeout_ms` more, for the guest can't know how long it had no processor; or 0.

The daemon of a live sandbox (live/daemon.py) speaks the same protocol on its socket: it passes requests and
answers on, greets each client with a WELCOME, and sends LOST instead of END when its guest is lost.
"""

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum

from kscaffold.records import dataclass

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
    PROLONG = 18
    STACKS = 19
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
    DUE = 7


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
    """The guest lives and did not answer in time. The attributes are those of ChannelClosed. `stopped`: the
    process that a signal keeps from running, so that the guest can't answer; 0 for none.
    """

    def __init__(self, console: str = "", *, stopped: int = 0) -> None:
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
"""The status of a LOST frame; the payload is the text of the guest's console. That of STOPPED has the number
of the process before it, in a line.
"""


def lost(answer: Answer) -> ChannelClosed | ChannelTimeout:
    """The exception for a LOST frame: the one that is raised for a guest without a daemon."""
    console = answer.payload.decode(errors="replace")
    if answer.status in (SILENT, STOPPED):
        number, _, rest = console.partition("\n")
        if answer.status == STOPPED and number.isdecimal():  # a daemon of an older version sends none
            return ChannelTimeout(rest, stopped=int(number))
        return ChannelTimeout(console)
    return ChannelClosed("the guest has gone", console=console, reset=answer.status == RESET)
