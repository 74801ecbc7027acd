"""docs/bugs.md: one planted bug of each kind and what the sanitizer says of it, from tests/instrument/zoo.

`python -m tests.instrument.bugs_page` writes the page from reports.json; with `--record 6.1` it loads the
modules into that kernel first, and writes what was found there into reports.json.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from kscaffold.cli.documents.sanitizer import sanitizer
from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.reports.kinds import KINDS
from kscaffold.instrument.sandbox import InstrumentedSandbox
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.request import Instruments
from kscaffold.make.build_project import build_project
from tests.conftest import ROOT

PAGE = ROOT / "docs/bugs.md"
ZOO = ROOT / "tests/instrument/zoo"
RECORD = Path(__file__).with_name("reports.json")
_MARK = re.compile(r"/\* BUG ([a-z ,-]+) \*/")
_HEAD = """\
<!-- written by python -m tests.instrument.bugs_page -->

# Bugs that a load does not show

One bug of each kind that `kscaffold run --sanitize` finds, and the first lines of what it says. A load alone
says "loaded and unloaded" of most of these modules. The sources are whole in `tests/instrument/zoo/`, with
more of each kind; a test runs them and compares the reports with this page. [Sanitizer](sanitizer.md) is how
to use it.
"""
_USUAL = ("kmalloc_right", "freed_read", "free_twice", "leak_object", "lock_sleep")  # most are like these
_AROUND = 6  # lines of source before the bug


def chosen() -> dict[str, str]:
    """A module of the zoo for each kind: the one that has no other kind, and the first by name."""
    marks = {f.stem: [m.split() for m in _MARK.findall(f.read_text())] for f in sorted(ZOO.glob("*.c"))}
    found: dict[str, str] = {}
    for kind in KINDS:
        having = [name for name, marked in marks.items() if marked == [[kind]]]
        if having:
            found[kind] = next((name for name in _USUAL if name in having), having[0])
    return found


def told(report: dict[str, Any]) -> dict[str, Any]:
    """What of a report is the same on each machine: without offsets and addresses."""
    text = {key: _same(report[key]) for key in ("text", "detail") if report[key]}
    where = report["where"]
    return {"code": report["code"], "line": where["line"], "function": where["function"], **text}


def _same(text: str) -> str:
    return re.sub(r"\b(?:ff[0-9a-f]{14})\b", "(an address)", re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+", "", text))


def recorded() -> dict[str, dict[str, Any]]:
    """What was found, by module."""
    found: dict[str, dict[str, Any]] = json.loads(RECORD.read_text())
    return found


def page() -> str:
    """The text of the page."""
    reports = recorded()
    parts = [_HEAD]
    for kind, name in chosen().items():
        parts.append(_section(kind, name, reports[name]))
    return "\n".join(parts)


def _section(kind: str, name: str, report: dict[str, Any]) -> str:
    entry = catalogue.entry(report["code"])
    assert entry is not None
    lines = (ZOO / f"{name}.c").read_text().splitlines()
    line = report["line"]
    # The function that has the bug, or what of it stands right before.
    start = next((i for i in range(line - 1, 0, -1) if not lines[i - 1].strip()), 1)
    shown = range(max(start, line - _AROUND), line + 1)
    source = "\n".join(f"{n:>4} | {_MARK.sub('', lines[n - 1]).rstrip().expandtabs(4)}" for n in shown)
    source = re.sub(rf"^ *{line} \|", f">{line:>3} |", source, flags=re.M)
    said = "\n".join((report["text"], *([f"  {report['detail']}"] if "detail" in report else [])))
    where = f" source: {name}.c:{line}, {report['function']}()"
    code = f"`kscaffold explain {entry.code}`"
    return f"## {kind}\n\n```console\n{said}\n{where}\n{source}\n```\n\n{entry.cause}: {entry.fix}. {code}\n"


def record(series: str) -> None:
    """Load and unload the chosen modules, each in a guest of its own, and write down what was found."""
    kernel = choose(series, offline=True)
    with tempfile.TemporaryDirectory(prefix="ks-bugs-") as place:
        here = Path(place, "zoo")
        here.mkdir()
        for name in ("bug.h", *(f"{name}.c" for name in chosen().values())):
            (here / name).write_text((ZOO / name).read_text())
        (here / "Kbuild").write_text("".join(f"obj-m += {name}.o\n" for name in chosen().values()))
        assert build_project(here, kernel).ok
        found = {name: _found(here / f"{name}.ko", kind, kernel) for kind, name in chosen().items()}
    RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def _found(ko: Path, kind: str, kernel: Kernel) -> dict[str, Any]:
    with InstrumentedSandbox(kernel, Instruments(sanitize=True)) as sandbox:
        if sandbox.load(ko).ok:
            sandbox.unload(ko)
        reports = sanitizer(sandbox.findings(), {})["reports"]
    return told(next(r for r in reports if r["kind"] == kind))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        record(sys.argv[2])
    PAGE.write_text(page())
