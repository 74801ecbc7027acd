"""How a run of tests looks: pytest's own words, then one table of modules and kernels."""

from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.cli.documents import test as documents
from kscaffold.errors import EXIT_NO, EXIT_YES

if TYPE_CHECKING:
    from kscaffold.testing.classroom import ClassRun, ProjectRun
    from kscaffold.testing.run import TestRun

_STYLES = {"passed": "green", "failed": "red", "error": "red", "skipped": "yellow"}


def tested(done: "TestRun") -> int:
    """The table, the document and the exit status."""
    console.emit("test", done.ok, documents.tested(done))
    if not console.json_mode:
        _table(done)
    return EXIT_YES if done.ok else EXIT_NO


def _table(done: "TestRun") -> None:
    rows = done.table()
    first = max((len(name) for name in (*rows, "Module")), default=0)
    widths = [max(len(kernel), len("skipped")) for kernel in done.kernels]
    heads = "  ".join(k.ljust(w) for k, w in zip(done.kernels, widths, strict=True))
    console.out(f"{'Module':<{first}}  {heads}".rstrip())
    for name, cells in rows.items():
        words = []
        for kernel, width in zip(done.kernels, widths, strict=True):
            word = cells.get(kernel, "-")
            words.append(console.styled(word, _STYLES.get(word, "dim")) + " " * (width - len(word)))
        console.out(f"{name:<{first}}  {'  '.join(words)}".rstrip())


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
    console.note(f"{text} on {', '.join(done.kernels)} in {done.seconds:.0f} s")
    return EXIT_YES if done.ok else EXIT_NO


def _outcome(one: "ProjectRun") -> tuple[str, str]:
    """The word of a project's row, and why it is not `passed`: its first failure's test and last line."""
    if one.error is not None:
        return "error", f"{one.error.code}: {one.error.what}"
    bad = [r for r in (one.run.results if one.run else ()) if r.outcome in ("failed", "error")]
    if not bad:
        return ("passed" if one.ok else "skipped"), ""
    said = [line.strip() for line in bad[0].text.splitlines() if line.strip()]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    test = bad[0].test.rpartition("::")[2].partition("[")[0]
    return bad[0].outcome, f"{test}: {said[0] if said else 'no word'}{more}"
