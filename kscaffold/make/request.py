"""How a build was asked for."""

from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass

TIMEOUT = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """`progress.note` gets the compiler's and modpost's complaints line by line, with `everything` all of
    make's output. `variables`: for make's command line. `timeout` in seconds.
    """

    progress: Progress = SILENT
    everything: bool = False
    jobs: int | None = None
    variables: tuple[str, ...] = ()
    timeout: float = TIMEOUT
