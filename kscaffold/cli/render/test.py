"""How a run of tests looks: pytest's own words, then one table of modules and kernels."""

from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.cli.documents import test as documents
from kscaffold.errors import EXIT_NO, EXIT_YES

if TYPE_CHECKING:
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
