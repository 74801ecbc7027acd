"""How coverage looks to people: a table of files, then the lines that did not run."""

from pathlib import Path

from kscaffold import console
from kscaffold.files import reader
from kscaffold.files.atomic import write_whole
from kscaffold.instrument.coverage import Coverage, FileCoverage, lcov

_MOST = 60  # lines of source that are listed


def coverage(found: Coverage) -> None:
    """The table, the functions that were not called and the lines that did not run."""
    if found.files:
        _table(found)
    left = _MOST
    for file in found.files:
        left = _missing(file, left)
    for name, what in found.unseen.items():
        console.note(f"   note: not counted in {console.printable(name)}: {what}")
    if not found.files:
        console.out("no line of source was counted")


def _table(found: Coverage) -> None:
    rows = [("file", "lines", "", "functions", "not run")]
    for f in found.files:
        share = f"{100 * f.ran // len(f.lines)} %"
        missing = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in f.missing)
        rows.append((f.file, f"{f.ran}/{len(f.lines)}", share, f"{f.called}/{len(f.functions)}", missing))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        head = "  ".join((f"{row[0]:<{widths[0]}}", *(f"{row[i]:>{widths[i]}}" for i in range(1, 4))))
        console.out(console.printable(f"{head}  {row[4]}").rstrip())


def _missing(file: FileCoverage, left: int) -> int:
    """List what did not run, so many lines at most; how many are left for the next file."""
    for function in file.functions:
        if not function.count:
            console.out(console.printable(f"{file.file}:{function.line}  {function.name}() was not called"))
    for first, last in file.missing if file.text else ():
        for number in range(first, last + 1):
            if left == 0:
                console.note("   note: more lines did not run: --html or --lcov has them all")
                return 0
            mark = console.styled("-", "red") if file.lines.get(number) == 0 else " "
            text = file.text[number - 1] if number <= len(file.text) else ""
            console.out(f"   {mark} {number:>4} | {console.printable(text.expandtabs(4))}")
            left -= 1
    return left


def write_lcov(found: Coverage, path: Path) -> None:
    """Write LCOV's text, and say so."""
    write_whole(reader.replaceable(path), lcov(found))
    console.step("Wrote", str(path))
