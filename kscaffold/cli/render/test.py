"""How a run of tests looks: pytest's own words, then one table of modules and kernels."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.cli.documents import test as documents
from kscaffold.errors import EXIT_NO, EXIT_NO_ANSWER, EXIT_YES

if TYPE_CHECKING:
    from kscaffold.testing.classroom import ClassRun, ProjectRun
    from kscaffold.testing.run import TestRun

_STYLES = {"passed": "green", "failed": "red", "error": "red", "skipped": "yellow", "no answer": "red"}
_WIDEST = 80
_NUMBERS = re.compile(r"(?:\w+:)?[\d.]+(?:\+\w+)?(?:-\d+)?")


class Page:
    """`--html FILE`. Raises UsageError, before anything is tested, where no page can be written there."""

    def __init__(self, path: Path) -> None:
        from kscaffold.explain.html import check_path  # start-up time: few want a page

        self._path = path
        check_path(path)

    def write(self, done: "TestRun") -> None:
        """Write it, and say so."""
        from datetime import datetime  # start-up time: few want a page

        from kscaffold.explain.html import write_text
        from kscaffold.testing.html import render_page

        write_text(self._path, render_page(done, datetime.now().astimezone()))
        console.step("Wrote", str(self._path))


def tested(done: "TestRun", page: Page | None = None) -> int:
    """The table, the page, what a service of continuous integration shows, the document; the exit status."""
    if page is not None:
        page.write(done)
    _annotate(done)
    console.emit("test", done.ok, documents.tested(done))
    if not console.json_mode:
        _table(done)
    if done.coverage:
        from kscaffold.cli.render import coverage  # start-up time: few tests count

        coverage.coverage(done.coverage)
    if done.ok:
        return EXIT_YES
    return EXIT_NO if done.results else EXIT_NO_ANSWER


def _annotate(done: "TestRun") -> None:
    from kscaffold.files.atomic import write_whole  # start-up time: the tests ran meanwhile
    from kscaffold.testing import annotations

    for line in annotations.github(done.results, done.directory, os.environ):
        (console.note if console.json_mode else console.out)(line)
    report = annotations.gitlab(done.results, done.directory, os.environ)
    if report is not None:
        write_whole(Path(annotations.GITLAB_REPORT), report.encode())


def _table(done: "TestRun") -> None:
    """Modules down, kernels across; in several tables where the kernels need more than a screen's width."""
    rows: dict[str, dict[str, str]] = {name: dict(cells) for name, cells in done.table().items()}
    for kernel in done.no_answer:
        for cells in rows.values() if rows else (rows.setdefault(done.directory.name, {}),):
            cells[kernel] = "no answer"
    first = max((len(name) for name in (*rows, "Module")), default=0)
    labels = _labels({k: done.kernel_name(k) for k in done.kernels}, first)
    waiting = list(done.kernels)
    while waiting:
        part: list[str] = []
        width = first
        while waiting and (not part or width + 2 + len(labels[waiting[0]]) <= _WIDEST):
            width += 2 + max(len(labels[waiting[0]]), len("skipped"))
            part.append(waiting.pop(0))
        _print_part(rows, part, labels, first)
        if waiting:
            console.out()


def _print_part(
    rows: dict[str, dict[str, str]], kernels: list[str], labels: dict[str, str], first: int
) -> None:
    widths = [max(len(labels[kernel]), len("skipped")) for kernel in kernels]
    heads = "  ".join(labels[k].ljust(w) for k, w in zip(kernels, widths, strict=True))
    console.out(f"{'Module':<{first}}  {heads}".rstrip())
    for name, cells in rows.items():
        words = []
        for kernel, width in zip(kernels, widths, strict=True):
            word = cells.get(kernel, "-")
            words.append(console.styled(word, _STYLES.get(word, "dim")) + " " * (width - len(word)))
        console.out(f"{name:<{first}}  {'  '.join(words)}".rstrip())


def _labels(kernels: dict[str, str], first: int) -> dict[str, str]:
    """The heading of each column: a kernel's name, short where the table would be too wide. `kernels`: the
    names by release.
    """
    if first + sum(2 + len(name) for name in kernels.values()) <= _WIDEST:
        return kernels
    short = {kernel: m[0] if (m := _NUMBERS.match(name)) else name for kernel, name in kernels.items()}
    last = {kernel: f"{short[kernel]}-{kernel.rpartition('-')[2]}" for kernel in kernels}
    ways = [(labels, list(labels.values())) for labels in (short, last, kernels)]
    return {k: next((w[k] for w, names in ways if names.count(w[k]) == 1), kernels[k]) for k in kernels}


def tested_projects(done: "ClassRun") -> int:
    """A row for each project, the document and the exit status."""
    console.emit("test", done.ok, documents.tested_projects(done))
    first = max((len(one.directory.name) for one in done.projects), default=0)
    for one in done.projects:
        word, why = _outcome(one)
        padding = " " * (first - len(one.directory.name) + 2)
        row = f"{console.printable(one.directory.name)}{padding}{console.styled(word, _STYLES[word])}"
        console.out(f"{row}{' ' * (8 - len(word))}{console.printable(why)}".rstrip())
    well = sum(one.ok for one in done.projects)
    text = f"{well} of {len(done.projects)} projects went well"
    console.note(f"{text} on {', '.join(map(done.kernel_name, done.kernels))} in {done.seconds:.0f} s")
    return EXIT_YES if done.ok else EXIT_NO


def _outcome(one: "ProjectRun") -> tuple[str, str]:
    """The word of a project's row, and why it is not `passed`: its first failure's test and last line."""
    for error in (one.error, *(one.run.no_answer.values() if one.run else ())):
        if error is not None:
            return "error", f"{error.code}: {error.what}"
    bad = [r for r in (one.run.results if one.run else ()) if r.outcome in ("failed", "error")]
    if not bad:
        return ("passed" if one.ok else "skipped"), ""
    lines = [line.strip() for line in bad[0].text.splitlines() if line.strip()]
    # pytest marks what was raised; a failure without a traceback is its own text.
    said = [line[1:].strip() for line in lines if line.startswith("E ")] or lines
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    test = bad[0].test.rpartition("::")[2].partition("[")[0]
    word = said[0].removeprefix("kscaffold.testing.guest.GuestFailure: ") if said else "no word"
    return bad[0].outcome, f"{test}: {word}{more}"
