"""How failing calls look to people: one table, then what is behind each row that is not clean."""

from collections.abc import Collection, Iterable
from itertools import groupby

from kscaffold import console
from kscaffold.cli.render.source_line import source
from kscaffold.instrument.fault_rows import CODES, Faults, Row

_WORDS = {
    "clean": "undone, {returned} returned",
    "spared": "init did without (__GFP_NOWARN)",
    "swallowed": "SWALLOWED: init returned 0",
    "other-error": "OTHER ERROR: {returned} returned, not {failed}",
    "leaked": "LEAKED: {wrong}",
    "misused": "BUG: {wrong}",
    "hung": "HUNG: {wrong}",
    "crashed": "CRASHED: {wrong}",
}


def faults(found: Faults, allow: Collection[str]) -> None:
    """The table and its details."""
    if found.problem:
        console.out(f"  {console.styled('faults', 'red')}: {found.problem}")
        return
    if not found.rows:
        console.step("Clean", "init makes no call that can fail")
        return
    bad = found.not_clean(allow)
    _table(found.rows)
    if found.left_out:
        console.note(
            f"   note: {found.left_out} more calls, of lines that call in a long loop, were not tried"
        )
    detailed: set[tuple[str, str]] = set()
    for row in bad:
        key = (row.outcome, str(row.place or row.call.site))
        if key not in detailed:
            detailed.add(key)
            _detail(row)
    well = len(found.rows) - len(bad)
    text = f"{well} of {len(found.rows)} failing calls came to a good end"
    if bad:
        console.out(text)
    else:
        console.step("Clean", text)


def _table(rows: Iterable[Row]) -> None:
    """A line for each call; calls of one line that ended alike, in a row, share one."""
    lines = []
    for _, alike in groupby(
        rows, key=lambda r: (r.call.name, str(r.place), r.outcome, ending(r), r.parameters, r.test)
    ):
        same = list(alike)
        first, last = same[0].call.number, same[-1].call.number
        numbers = f"{first}" if len(same) == 1 else f"{first}-{last}"
        lines.append((numbers, f"{same[0].call.name}()", _where(same[0]), same[0]))
    widths = [max(map(len, column)) for column in list(zip(*(line[:3] for line in lines), strict=True))]
    for numbers, name, where, row in lines:
        head = f"{numbers:>{widths[0]}}  {name:<{widths[1]}}  {where:<{widths[2]}}  "
        end = console.printable(ending(row))
        console.out(console.printable(head) + (console.styled(end, "red") if row.outcome in CODES else end))


def _where(row: Row) -> str:
    if row.place:
        return str(row.place)
    # A call that is a function's last one is a jump: it returns to the kernel.
    return row.call.site.partition(" ")[0] if row.call.module else "(the last call)"


def ending(row: Row) -> str:
    """What became of a failing call, in a line."""
    if row.test and row.outcome == "clean":
        return f"{'the test failed' if row.returned else 'the test went on'} ({row.test})"
    first = row.wrong[0] if row.wrong else None
    more = f" and {len(row.wrong) - 1} more" if len(row.wrong) > 1 else ""
    at = f" ({first.where})" if first and first.where and first.where not in first.text else ""
    text = f"{first.text}{at}{more}" if first else ""
    return _WORDS[row.outcome].format(returned=row.returned, failed=row.call.failed_with, wrong=text)


def _detail(row: Row) -> None:
    entry = row.entry
    assert entry is not None
    failed = f" failed with {row.call.failed_with}" if row.call.failed_with else " failed"
    console.out(f"{console.styled(f'{row.call.name}(){failed}', 'bold')}: {entry.title}")
    for wrong in row.wrong:
        at = f", {wrong.where}" if wrong.where and wrong.where not in wrong.text else ""
        console.out(f"  {console.printable(wrong.text + at)}")
    if row.place:
        source(row.place, console.out)
    if row.test:
        console.out(f"  in: {console.printable(row.test)}")
    if row.parameters:
        console.out(f"  with: {console.printable(row.parameters)}")
    console.out(f"  {console.styled('cause', 'cyan')}: {entry.cause}")
    console.out(console.fix_line(entry.fix))
    console.out(f"   {console.styled('more', 'cyan')}: kscaffold explain {entry.code}")
