"""What a verb reports while it works: one value, handed down to all that works for the verb."""

from collections.abc import Callable

from kscaffold.records import dataclass


def _ignore_step(verb: str, text: str) -> None:
    """Nobody listens."""


def _ignore(text: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The listeners of a verb's work.

    `step`: a verb and what it is done to ("Building", "hello for 6.1.0"). `note`: a line about what is going
    on, a compiler's line among them. `detail`: a line for those who want to know more. `warn`: a warning.
    `verbose`: somebody reads the details; what costs time to find out is found out only then.

    A verb may call them from more than one thread at once.
    """

    step: Callable[[str, str], None] = _ignore_step
    note: Callable[[str], None] = _ignore
    detail: Callable[[str], None] = _ignore
    warn: Callable[[str], None] = _ignore
    verbose: bool = False


SILENT = Progress()
