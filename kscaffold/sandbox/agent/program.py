"""A program in the guest, its three streams here: input as it is wanted, output as it comes, signals passed
on.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

from kscaffold.records import dataclass, field
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import Kind, Provide, Verb

STDOUT, STDERR = 1, 2
ETIME = 62
"""The errno of a program that was ended at its deadline."""

_PIECE = 64 << 10  # bytes of one INPUT: agent.c's CHUNK
_GRACE = 3.0  # s beyond the deadline that the guest has to say so
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_TERMINAL = 1 << 31  # agent.c's TERMINAL
_PATIENCE = 3  # a program that takes so many Ctrl-C for nothing is killed

# Gets what the program wrote: STDOUT or STDERR, and the bytes.
OutputListener = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class GuestProgram:
    """A program of the guest. `path`: its file. `argv`: with its name first. `directory`: the one to be in,
    made where it is not there. `terminal`: its three streams are a terminal, and what it hears from is one of
    this process's, whose keys and size it gets.
    """

    path: str
    argv: tuple[str, ...]
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `status`: its exit code, or the signal that killed it, negative; None where it did
    not start, or was ended at the deadline. `errno`: why it did not start, ETIME for the deadline, else 0.
    `nonce`: of the request, which marks its place in the kernel's log. `stack`: the kernel's, at the
    deadline: of its threads and children, and of all tasks that are in a module (diagnosis/stacks.py).
    """

    status: int | None
    errno: int
    nonce: int
    stack: str = ""


def run_program(
    channel: Channel,
    program: GuestProgram,
    *,
    timeout: float,
    input: int | bytes = b"",
    on_output: OutputListener,
    pass_signals: bool = False,
    provide: Provide | None = None,
) -> Ended:
    """Run a program until it ends, or for `timeout` seconds; then all of its process group is killed.

    `input`: its standard input, a file descriptor of this process or the bytes themselves. `pass_signals`:
    what would interrupt or end this process goes to the program instead. `provide` finds the modules that the
    guest's kernel asks for. Raises ChannelClosed and
    ChannelTimeout, with the request's nonce, when the guest is lost meanwhile.
    """
    words = (program.directory, program.path, *program.argv)
    variables = tuple(f"{name}={value}" for name, value in program.environment.items())
    payload = b"".join(os.fsencode(word) + b"\0" for word in (*words, *variables))
    terminal = input if program.terminal and isinstance(input, int) else None
    if terminal is not None:
        channel.ask(Verb.RESIZE, _size_of(terminal), timeout=_GRACE)
    count = len(words) | (0 if terminal is None else _TERMINAL)
    nonce = channel.begin(Verb.EXEC, payload, argument=count, timeout=timeout)
    conversation = _Conversation(channel, nonce, channel.now() + timeout, input, on_output, provide)
    try:
        with contextlib.ExitStack() as around:
            if terminal is not None:
                from kscaffold.sandbox.agent.terminal import raw  # start-up time: few have one

                around.enter_context(raw(terminal))
            signals = around.enter_context(_signals(terminal is not None)) if pass_signals else None
            return conversation.to_the_end(signals)
    except (protocol.ChannelClosed, protocol.ChannelTimeout) as error:
        error.nonce = nonce
        raise


def _size_of(terminal: int) -> bytes:
    from kscaffold.sandbox.agent.terminal import window_size  # start-up time: few have one

    return window_size(terminal)


class _Conversation:
    """The exchange with a guest while a program runs there: input, output, signals, and modules."""

    def __init__(
        self,
        channel: Channel,
        nonce: int,
        deadline: float,
        input: int | bytes,
        on_output: OutputListener,
        provide: Provide | None,
    ) -> None:
        self.channel = channel
        self.nonce = nonce
        self.deadline = deadline
        self.on_output = on_output
        self.provide = provide
        self.source = input if isinstance(input, int) else None
        self.rest = memoryview(input if isinstance(input, bytes) else b"")
        self.wanted = False  # the agent takes a piece of input now
        self.input_ended = False
        self.interrupts = 0

    def to_the_end(self, signals: int | None) -> Ended:
        """Listen until the program has ended. `signals`: a descriptor with the numbers of signals
        to pass on.
        """
        while True:
            if not self.channel.has_unread() and not self._wait(signals):
                continue
            kind, answer = self.channel.receive(self.nonce, self.deadline, _GRACE)
            if kind is Kind.OUTPUT:
                self.on_output(answer.status, answer.payload)
            elif kind is Kind.WANT:
                self.deadline += self.channel.give(self.nonce, answer, self.provide)
            elif kind is Kind.DUE:
                self.channel.prolong(self.deadline)
            elif kind is Kind.ACK:
                self.wanted = True
                if self.source is None:
                    self._send_input()
            elif kind is Kind.LOST:
                raise protocol.lost(answer)
            elif answer.status < 0:
                stack = answer.payload.decode(errors="replace")
                return Ended(None, -answer.status, self.nonce, stack)
            else:
                return Ended(os.waitstatus_to_exitcode(answer.status), 0, self.nonce)

    def _wait(self, signals: int | None) -> bool:
        """Wait for the guest's next word, or the deadline; True then. Input and signals go out meanwhile."""
        streams = [self.channel.fileno()]
        if signals is not None:
            streams.append(signals)
        if self.source is not None and self.wanted and not self.input_ended:
            streams.append(self.source)
        poll = select.poll()
        for stream in streams:
            poll.register(stream, select.POLLIN)
        ready = [stream for stream, _ in self.channel.wait_for(poll, self.deadline)]
        if signals in ready and signals is not None:
            for number in os.read(signals, 64):
                self._send_signal(number)
        if self.source in ready:
            self._send_input()
        return not ready or self.channel.fileno() in ready

    def _send_input(self) -> None:
        """Send one piece of the input; an empty piece tells the end, once."""
        if self.input_ended:
            return
        if self.source is not None:
            piece = os.read(self.source, _PIECE)
        else:
            piece, self.rest = bytes(self.rest[:_PIECE]), self.rest[_PIECE:]
        self.wanted, self.input_ended = False, not piece
        self._send(protocol.request(Verb.INPUT, 0, piece))

    def _send_signal(self, number: int) -> None:
        if number == signal.SIGWINCH and self.source is not None:
            self._send(protocol.request(Verb.RESIZE, 0, _size_of(self.source)))
            return
        self.interrupts += number == signal.SIGINT
        if self.interrupts >= _PATIENCE:
            number = signal.SIGKILL
        self._send(protocol.request(Verb.SIGNAL, 0, argument=number))

    def _send(self, frame: bytes) -> None:
        self.channel.send(frame, self.channel.now() + _GRACE)


@contextlib.contextmanager
def _signals(terminal: bool) -> Iterator[int | None]:
    """A descriptor that has a byte for each signal that this process got, its number; with `terminal` also
    when its size has changed. None where Python handles no signals: outside of its first thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def note(number: int, _: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(writer, bytes((number,)))

    passed_on = (*_PASSED_ON, signal.SIGWINCH) if terminal else _PASSED_ON
    before = {number: signal.signal(number, note) for number in passed_on}
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
