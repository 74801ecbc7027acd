"""`--html FILE`: what was loaded, as one page for a browser."""

from collections.abc import Sequence
from pathlib import Path

from kscaffold import console
from kscaffold.errors import UsageError
from kscaffold.explain import html
from kscaffold.explain.walkthrough import LoadWalkthrough, load_walkthrough
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.report import LoadReport
from kscaffold.load.tries import TryListener
from kscaffold.load.unload import UnloadReport
from kscaffold.records import replace
from kscaffold.targets.target import Target

MOST = 100  # tries on one page


def check_path(path: Path, tries: int = 1) -> None:
    """Raise UsageError, before anything is loaded, where a page can't be written to, or is too long."""
    html.check_path(path)
    if tries > MOST:
        cause, fix = f"{tries} tries are asked for", f"at most {MOST} with --params and --repeat"
        raise UsageError("KS004", "a page of so many loads is of no use", cause=cause, fix=fix)


def write_page(
    path: Path, walkthroughs: Sequence[LoadWalkthrough], sections: Sequence[html.Section] = ()
) -> None:
    """Write the page, and say so."""
    html.write_page(path, walkthroughs, sections)
    console.step("Wrote", str(path))


class RunPage:
    """Hears of the loads of a run, of several tries at once, for a page of all of them in their order."""

    def __init__(self, path: Path, tries: int) -> None:
        check_path(path, tries)
        self._path = path
        self._kernel: Kernel | None = None
        self._walkthroughs: dict[tuple[int, str], LoadWalkthrough] = {}

    def listen(self, kernel: Kernel) -> TryListener:
        """The listener to the loads into this kernel."""
        self._kernel = kernel
        return self.add_load

    def add_load(self, number: int, report: LoadReport, target: Target) -> None:
        """Add a load of this try to the page."""
        self._walkthroughs[number, report.module] = load_walkthrough(report, target, self._kernel)

    def write(
        self,
        results: Sequence[tuple[Sequence[LoadReport], Sequence[UnloadReport]]],
        sections: Sequence[html.Section] = (),
    ) -> None:
        """Write the page, with the last word on each load and what became of it."""
        walkthroughs = []
        for number, (loads, unloads) in enumerate(results):
            gone = {report.module: report for report in unloads}
            for report in loads:
                first = self._walkthroughs[number, report.module]
                walkthroughs.append(replace(first, report=report, unload=gone.get(report.module)))
        write_page(self._path, walkthroughs, sections)


class LoadPage:
    """Hears of loads while their target can still be asked, for a page that is written after the last."""

    def __init__(self, path: Path) -> None:
        check_path(path)
        self._path = path
        self._walkthroughs: list[LoadWalkthrough] = []

    def add_load(self, report: LoadReport, target: Target, kernel: Kernel | None) -> None:
        """Add a load to the page."""
        self._walkthroughs.append(load_walkthrough(report, target, kernel))

    def write(self) -> None:
        """Write the page of all of them."""
        write_page(self._path, self._walkthroughs)
