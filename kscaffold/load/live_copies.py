"""Instrumented copies in a live sandbox: which they are, and what the sanitizer has said of them since.

`load --sanitize` notes the copies beside the sandbox's socket, so that later commands find the lines of what
the sanitizer reports, and tell each report once.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports.sanitizer import read_reports
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths
from kscaffold.files.atomic import write_whole
from kscaffold.load.finding import Finding, detail, locate
from kscaffold.load.kernel_log import without_marks
from kscaffold.progress import Progress
from kscaffold.records import dataclass
from kscaffold.sandbox.live import registry
from kscaffold.targets.sandbox import SandboxTarget


@dataclass(frozen=True, slots=True)
class LiveCopies:
    """The instrumented copies that a sandbox has loaded. `files`: each by the kernel's name of its module,
    but for a copy whose file has changed since. `shown`: the numbers of the sanitizer's reports that were
    shown.
    """

    files: Mapping[str, ModuleFile]
    shown: frozenset[int]


def live_copies(at: Path, *, previous: bool = False) -> LiveCopies | None:
    """The copies of the live sandbox of a directory, or of its last sandbox; None where no module of it was
    instrumented. `previous`: of the sandbox before.
    """
    record = _read(at, previous=previous)
    if record is None:
        return None
    files: dict[str, ModuleFile] = {}
    for name, (copy, home, digest) in record["copies"].items():
        with contextlib.suppress(KscaffoldError):
            ko = ModuleFile.open(Path(copy), Path(home))
            if ko.digest().hex() == digest:
                files[name] = ko
    return LiveCopies(files, frozenset(record["told"]))


def note_copies(at: Path, copies: Iterable[ModuleFile]) -> None:
    """Note that these copies are loaded now, each in the place of the module of its name."""
    record = _read(at) or {"copies": {}, "told": []}
    for ko in copies:
        record["copies"][ko.module] = [str(ko.path), str(ko.home), ko.digest().hex()]
    _write(at, record)


def forget_copies(at: Path, modules: Iterable[str]) -> None:
    """These modules are loaded as they were built, and not as copies."""
    record = _read(at)
    if record is not None:
        for name in modules:
            record["copies"].pop(name, None)
        _write(at, record)


def note_told(at: Path, numbers: Iterable[int]) -> None:
    """The reports with these numbers were shown."""
    record = _read(at) or {"copies": {}, "told": []}
    record["told"] = sorted({*record["told"], *numbers})
    _write(at, record)


def take_news(at: Path, records: Sequence[Record], *, previous: bool = False) -> list[Finding]:
    """The reports in a log that nobody was shown yet, with their lines of source. Whoever takes them shows
    them: they count as told. One that some task still writes is left for the next time. Costs no more than a
    look for a file where no module is instrumented.
    """
    record = _read(at, previous=previous)
    if record is None:
        return []
    new = (r for r in read_reports(records) if r.number not in record["told"])
    found = [r for r in new if r.is_whole or previous]
    if not found:
        return []
    known = live_copies(at, previous=previous)
    record["told"] = sorted({*record["told"], *(r.number for r in found)})
    _write(at, record, previous=previous)
    return [locate(report, known.files if known else {}, "") for report in found]


def tell_news(at: Path, target: SandboxTarget, progress: Progress) -> None:
    """Tell what the sanitizer of a live sandbox has found since the last command."""
    if registry.has_copies(at):
        with contextlib.suppress(KscaffoldError):
            tell_news_in(at, without_marks(target.log()).records, progress)


def tell_news_in(at: Path, records: Sequence[Record], progress: Progress, *, previous: bool = False) -> None:
    """As tell_news, where the log has been read."""
    for found in take_news(at, records, previous=previous):
        what = ", ".join(filter(None, (found.head, detail(found.report))))
        progress.warn(f"the sanitizer has found since the last command: {what}")
        place = found.place
        if place:
            progress.note(f" source: {place}, {place.function}()")
        for number, text in place.lines if place else ():
            mark = ">" if place and number == place.line else " "
            progress.note(f"   {mark} {number:>4} | {text.expandtabs(4)}")
        progress.note(f"    fix: {found.entry.fix}")
        progress.note(f"   more: kscaffold explain {found.entry.code}")


def _file(at: Path, *, previous: bool = False) -> Path:
    return registry.sandbox_dir(at) / f"{registry.PREVIOUS if previous else ''}copies"


def _read(at: Path, *, previous: bool = False) -> dict[str, Any] | None:
    try:
        record = paths.recorded(_file(at, previous=previous))
    except (OSError, ValueError):
        return None
    copies, numbers = record.get("copies"), record.get("told")
    if not isinstance(copies, dict) or not isinstance(numbers, list):
        return None
    return record if all(isinstance(one, list) and len(one) == 3 for one in copies.values()) else None


def _write(at: Path, record: dict[str, Any], *, previous: bool = False) -> None:
    with contextlib.suppress(OSError):
        write_whole(_file(at, previous=previous), json.dumps(record))
