"""The figures as a table for people."""

from collections.abc import Sequence

from tests.bench.memory import Amount
from tests.bench.timing import Row


def times(rows: Sequence[Row]) -> list[str]:
    """Seconds: each with its bar, and whether the median is within it."""
    width = max(len(row.name) for row in rows)
    head = f"{'seconds':<{width}}    n  median     min     max     cpu     bar  met  compared"
    return [head, "-" * len(head), *(_line(row, width) for row in rows)]


def _line(row: Row, width: int) -> str:
    if row.why_not:
        return f"{row.name:<{width}}    -  {row.why_not}"
    figures = "  ".join(f"{value:6.3f}" for value in (row.median, row.least, row.most, row.cpu))
    bar = f"{row.bar:.2f}" if row.bar is not None else ""
    if row.bar_ratio is not None:
        bar = f"x{row.bar_ratio:.2f}"
    against = f"x{row.ratio:.2f} of {' + '.join(row.against)}" if row.ratio is not None else ""
    return f"{row.name:<{width}}  {row.count:3}  {figures}  {bar:>6}  {_word(row.met):>3}  {against}".rstrip()


def amounts(rows: Sequence[Amount]) -> list[str]:
    """Megabytes."""
    width = max(len(row.name) for row in rows)
    head = f"{'MB':<{width}}  amount     bar  met"
    told = [head, "-" * len(head)]
    for row in rows:
        bar = f"{row.bar / 1e6:.0f}" if row.bar else ""
        met = _word(row.bytes <= row.bar if row.bar else None)
        told.append(f"{row.name:<{width}}  {row.bytes / 1e6:6.1f}  {bar:>6}  {met:>3}".rstrip())
    return told


def _word(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "no"
