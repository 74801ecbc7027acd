"""A bar on a terminal for work that takes longer than a second, gone when the work is done. The door of rich,
which is imported then only: it takes 85 ms.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kscaffold.progress import Work

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task

_PATIENCE = 1.0  # s that work may take without a bar
_LOOK = 0.2  # s between two looks at the amount
_VERB = 12  # columns, as a step's
_BAR = 18  # columns
# Works may be within one another, and a terminal has room for one bar: the outer one's.
_screen = threading.Lock()


@contextlib.contextmanager
def drawn(work: Work) -> Iterator[None]:
    """A bar on stderr while the block runs, from its second second on."""
    over = threading.Event()
    thread = threading.Thread(target=_draw, args=(work, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _draw(work: Work, over: threading.Event) -> None:
    if over.wait(_PATIENCE):
        return
    while not _screen.acquire(timeout=_LOOK):
        if over.is_set():
            return
    try:
        with _display(work) as display:
            task = display.add_task(f"{work.verb:>{_VERB}}", total=work.total)
            while not over.wait(_LOOK):
                display.update(task, completed=work.amount() if work.amount else 0)
    finally:
        _screen.release()


def _display(work: Work) -> "Progress":
    # start-up time: only a bar that is seen needs them
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    words = TextColumn("[bold green]{task.description}")
    columns: list[ProgressColumn] = [words, BarColumn(_BAR)]
    if work.amount is not None:
        columns.append(_amounts(work.unit))
    columns += [TimeRemainingColumn(), TextColumn("left")] if work.total else [TimeElapsedColumn()]
    # Lines that are printed meanwhile go above the bar; data that goes elsewhere goes there.
    stdout = sys.stdout.isatty()
    return Progress(*columns, console=Console(file=sys.stderr), transient=True, redirect_stdout=stdout)


def _amounts(unit: str) -> "ProgressColumn":
    """The amount and the rate: `12.3/40.1 MB  5.1 MB/s`."""
    # start-up time: only a bar that is seen needs them
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Amounts(ProgressColumn):
        def render(self, task: "Task") -> Text:
            return Text(amounts(task.completed, task.total, task.speed or task.finished_speed, unit))

    return Amounts()


def amounts(done: float, total: float | None, rate: float | None, unit: str) -> str:
    """An amount of so many `unit`s (bytes, where it is MB), of how many, and how many a second. Pure."""
    if unit == "MB":
        text = f"{done / 1e6:.1f}" + (f"/{total / 1e6:.1f}" if total else "")
        return f"{text} MB" + (f"  {rate / 1e6:.1f} MB/s" if rate else "")
    text = f"{done:.0f}" + (f"/{total:.0f}" if total else "")
    return f"{text} {unit}" + (f"  {rate:.1f}/s" if rate and unit != "s" else "")
