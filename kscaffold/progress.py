"""What a verb reports while it works: one value, handed down to all that works for the verb."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Work that may take longer than a second. `verb` is as "Fetching", `text` says what is fetched.
    `amount`: how much is done now, asked from another thread; None where nobody knows. `total`: how much
    there is to do, None where that is not known. `unit`: of both; they are bytes where it is MB.
    """

    verb: str
    text: str
    amount: Callable[[], float] | None = None
    total: float | None = None
    unit: str = "MB"


def _ignore_step(verb: str, text: str) -> None:
    """Nobody listens."""


def _ignore(text: str) -> None:
    """Nobody listens."""


def _no_bar(work: Work) -> AbstractContextManager[None]:
    """Nobody listens."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Progress:
    """The listeners of a verb's work.

    `step`: a verb and what it is done to ("Building", "hello for 6.1.0"). `note`: a line about what is going
    on, a compiler's line among them. `detail`: a line for those who want to know more. `warn`: a warning.
    `verbose`: somebody reads the details; what costs time to find out is found out only then. `bar`: shows
    work as long as it takes.

    A verb may call them from more than one thread at once.
    """

    step: Callable[[str, str], None] = _ignore_step
    note: Callable[[str], None] = _ignore
    detail: Callable[[str], None] = _ignore
    warn: Callable[[str], None] = _ignore
    verbose: bool = False
    bar: Callable[[Work], AbstractContextManager[None]] = _no_bar

    def work(self, what: Work) -> AbstractContextManager[None]:
        """A step that may take longer than a second: it is done in the block."""
        self.step(what.verb, what.text)
        return self.bar(what)


SILENT = Progress()
