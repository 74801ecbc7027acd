"""How a build was asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from kscaffold.make.lock import Say

TIMEOUT = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """`say` hears of steps (verb, text); `show` gets the compiler's and modpost's complaints line by line,
    with `everything` all of make's output. `variables`: for make's command line. `timeout` in seconds.
    """

    say: Say
    show: Callable[[str], None]
    everything: bool = False
    jobs: int | None = None
    variables: tuple[str, ...] = ()
    timeout: float = TIMEOUT
