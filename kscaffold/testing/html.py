"""The results of a run of tests as one page for a browser: self-contained, every text escaped."""

from collections.abc import Sequence
from datetime import datetime

from kscaffold import __version__
from kscaffold.explain.html import page
from kscaffold.testing.run import TestRun

_SIGNS = {"passed": "✓", "failed": "✗", "error": "✗", "skipped": "–"}


def _ranges(missing: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in missing)


def render_page(done: TestRun, when: datetime) -> str:
    """The page as text. `when`: the tests ended."""
    template = page("testing/page.html")
    word = "passed" if done.ok else "did not pass"
    return template.render(
        title=f"{done.directory.name}: its tests {word}",
        version=__version__,
        stamp=when.isoformat(timespec="seconds"),
        date=when.strftime("%-d %B %Y, %H:%M:%S %Z"),
        seconds=done.seconds,
        results=done.results,
        kernels=done.kernels,
        named=done.kernel_name,
        table=done.table(),
        no_answer=done.no_answer,
        signs=_SIGNS,
        coverage=done.coverage,
        ranges=_ranges,
    )
