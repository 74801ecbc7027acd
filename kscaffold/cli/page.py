"""`--html FILE`: what was loaded, as one page for a browser."""

from collections.abc import Sequence
from pathlib import Path

from kscaffold import console
from kscaffold.explain import page
from kscaffold.explain.story import Story, story
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.report import LoadReport
from kscaffold.target.base import Target


def check(path: Path) -> None:
    """Raise UsageError, before anything is loaded, where a page can't be written to."""
    page.check(path)


def write(path: Path, told: Sequence[Story]) -> None:
    """Write the page, and say so."""
    page.write(path, told)
    console.step("Wrote", str(path))


class Listener:
    """Hears of loads while their target can still be asked, for a page that is written after the last."""

    def __init__(self, path: Path) -> None:
        check(path)
        self._path = path
        self._told: list[Story] = []

    def hear(self, report: LoadReport, target: Target, kernel: Kernel | None) -> None:
        """One load has been made."""
        self._told.append(story(report, target, kernel))

    def write(self) -> None:
        """Write the page of all of them."""
        write(self._path, self._told)
