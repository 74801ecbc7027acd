"""Explains what happens in a load: stages, errnos, codes, words, and the lines of a log."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.api.kernel import release_of
from kscaffold.api.loading import TIMEOUT, request_of
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kscaffold.explain.explain import Explanation
    from kscaffold.explain.explain_load import Walkthroughs
    from kscaffold.kernel.kernel import Kernel


def explain(topic: str | None = None, *, log: str | None = None) -> "Explanation":
    """Explain what a stage, an errno, a code (KS204) or a word means, or what the lines of a kernel's log
    say; without either, what happens in a load. Its `known` is False where there is nothing to say.
    """
    from kscaffold.explain.explain import explain as ask  # start-up time

    return ask(topic, log=log)


def explain_load(
    *kos: str | Path,
    directory: str | Path = ".",
    parameters: "Sequence[str]" = (),
    kernel: "str | Kernel | None" = None,
    timeout: float = TIMEOUT,
    progress: Progress = SILENT,
) -> "Walkthroughs":
    """Load as `run` does, once and without the unload; of each load the stages, and what each of them did."""
    from kscaffold.explain.explain_load import explain_load as walk  # start-up time
    from kscaffold.load.request import TargetRequest

    where = TargetRequest(kernel=release_of(kernel))
    return walk(request_of(kos, directory, parameters), where, timeout=timeout, progress=progress)
