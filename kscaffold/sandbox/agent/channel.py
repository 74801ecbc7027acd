"""The host's end of one guest's port: requests go out, answers come back, and nothing is waited for without a
deadline. The frames are those of protocol.py.
"""

import os
import select
import socket
from collections.abc import Callable

from kscaffold.errors import KscaffoldError
from kscaffold.sandbox.agent.protocol import (
    ANSWER,
    MAGIC,
    MAX_ANSWER,
    MOST_GRACE,
    Answer,
    ChannelClosed,
    ChannelTimeout,
    Kind,
    Provide,
    Verb,
    lost,
    provided,
    request,
)
from kscaffold.sandbox.agent.running_clock import MOST_STOPPED, RunningClock

_KINDS = frozenset(Kind)
_LEFTOVERS = 5.0  # s after a deadline in which frames of given-up requests are read
_GONE = "the guest has gone"
_LEAST = 0.1  # s that are worth a prolongation


class Channel:
    """The host's end of one guest's port. One request at a time; not for several threads.

    `between`: what is called before each request, and after its answer; None for nothing. All deadlines are
    of `clock`. `patience`: seconds of grace besides that of each request. `most`: the most
    seconds of grace that who says that it is at work gets anew.
    """

    def __init__(
        self,
        sock: socket.socket,
        clock: RunningClock | None = None,
        *,
        patience: float = 0.0,
        most: float = MOST_GRACE,
    ) -> None:
        self.clock = clock or RunningClock()
        self._sock = sock
        self._patience = patience
        self._most = most
        sock.setblocking(False)
        self._unread = b""
        self.between: tuple[Callable[[], None], Callable[[], None]] | None = None

    def now(self) -> float:
        """Seconds in which the guest could run: what its deadlines are made of."""
        return self.clock.now()

    def wait_for(self, poll: select.poll, deadline: float) -> list[tuple[int, int]]:
        """What poll(2) gives until the deadline."""
        return self.clock.wait(poll, deadline)

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
        answer = self.answer(nonce, timeout, grace, provide)
        if self.between:
            self.between[1]()
        return answer

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
                elif kind is Kind.DUE:
                    self.prolong(given)
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

    def prolong(self, deadline: float) -> None:
        """Answer a DUE: the guest's clock says that a deadline is over; this one may have stood meanwhile."""
        self.clock.look()
        more = deadline - self.now()
        frame = request(Verb.PROLONG, 0, timeout=more if more > _LEAST else 0)
        self.send(frame, self.now() + self._most)

    def begin(
        self, verb: Verb, payload: bytes = b"", *, argument: int = 0, timeout: float = 0, grace: float = 2.0
    ) -> int:
        """Send a request and return its nonce, which `receive` and `answer` take."""
        if self.between:
            self.between[0]()
        self.clock.begin()
        nonce = int.from_bytes(os.urandom(8), "little")
        frames = request(verb, nonce, payload, argument=argument, timeout=timeout)
        self.send(frames, self.now() + timeout + grace)
        return nonce

    def prolonged(self, deadline: float) -> float:
        """The new deadline of a guest that has just said that it is at work: its grace starts again."""
        return min(max(deadline, self.now()), deadline + self._most)

    def receive(self, nonce: int, deadline: float, grace: float = 0.0) -> tuple[Kind, Answer]:
        """The next frame of the answer to `nonce`. Frames of earlier, given-up requests are dropped.

        `grace`: seconds beyond the deadline.
        """
        return self._receive(nonce, deadline + (grace + self._patience if grace else 0.0))

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
            except ConnectionError:
                raise ChannelClosed(_GONE) from None
            except OSError as error:
                raise ChannelClosed(str(error)) from None

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._unread) < size:
            self._wait(select.POLLIN, deadline)
            try:
                part = self._sock.recv(1 << 18)
            except BlockingIOError:
                continue
            except ConnectionError:
                raise ChannelClosed(_GONE) from None
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not part:
                raise ChannelClosed(_GONE)
            self._unread += part

    def _wait(self, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._sock, event)
        if not self.clock.wait(poll, deadline):
            raise ChannelTimeout(stopped=self.clock.stopped())


def require_running(error: ChannelTimeout | ChannelClosed) -> None:
    """Raise KscaffoldError KS620 where a signal keeps from running who did not answer: nobody knows what the
    guest would have done, and it has not gone.
    """
    if isinstance(error, ChannelTimeout) and error.stopped:
        raise KscaffoldError(
            "KS620",
            "the sandbox stands still",
            cause=f"a signal has stopped its process {error.stopped}; waited {MOST_STOPPED:g} s for it",
            fix=f"kill -CONT {error.stopped}",
        )
