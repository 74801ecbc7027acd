"""An interactive shell in the guest: bytes both ways, the size of the terminal, Ctrl-C passed through."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import Kind, Verb
from kscaffold.sandbox.agent.terminal import raw, window_size

_START = 10.0  # s until the shell has begun
_END_OF_FILE = b"\x04"


def shell(opened: Channel, argv: list[str]) -> int:
    """Run a program of the guest on this process's standard streams until it ends; its wait status.

    Raises ChannelClosed and ChannelTimeout when the guest is lost meanwhile.
    """
    payload = b"".join(word.encode() + b"\0" for word in argv)
    nonce = opened.begin(Verb.SHELL, payload, timeout=_START)
    terminal = os.isatty(0)
    with raw(0) if terminal else contextlib.nullcontext(), _resizes() as resized:
        listening = True
        if terminal:
            _tell_size(opened)
        while True:
            if not opened.has_unread():
                streams = [opened.fileno(), resized, *([0] if listening else [])]
                ready, _, _ = select.select(streams, [], [])
                if resized in ready:
                    os.read(resized, 64)
                    _tell_size(opened)
                if 0 in ready:
                    typed = os.read(0, 4096)
                    listening = bool(typed)
                    _send(opened, Verb.INPUT, typed or _END_OF_FILE)
                if opened.fileno() not in ready:
                    continue
            kind, answer = opened.receive(nonce, opened.now() + _START)
            if kind is Kind.OUTPUT:
                _write(answer.payload)
            elif kind is Kind.END:
                return answer.status
            elif kind is Kind.LOST:
                raise protocol.lost(answer)


def _send(opened: Channel, verb: Verb, payload: bytes) -> None:
    opened.send(protocol.request(verb, 0, payload), opened.now() + _START)


def _tell_size(opened: Channel) -> None:
    _send(opened, Verb.RESIZE, window_size(0))


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


@contextlib.contextmanager
def _resizes() -> Iterator[int]:
    """A descriptor that can be read when the terminal has another size."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def note(*_: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(writer, b"r")

    before = signal.signal(signal.SIGWINCH, note)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)
