"""The results of a run of tests as one page for a browser: self-contained, every text escaped."""

from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from kscaffold import __version__
from kscaffold.explain.html import display
from kscaffold.testing.run import TestRun

_SIGNS = {"passed": "✓", "failed": "✗", "error": "✗", "skipped": "–"}


def render_page(done: TestRun, when: datetime) -> str:
    """The page as text. `when`: the tests ended."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = display
    template = environment.from_string(files("kscaffold.testing").joinpath("page.html").read_text("utf-8"))
    word = "passed" if done.ok else "did not pass"
    return template.render(
        title=f"{done.directory.name}: its tests {word}",
        version=__version__,
        stamp=when.isoformat(timespec="seconds"),
        date=when.strftime("%-d %B %Y, %H:%M:%S %Z"),
        seconds=done.seconds,
        results=done.results,
        kernels=done.kernels,
        table=done.table(),
        no_answer=done.no_answer,
        signs=_SIGNS,
    )
