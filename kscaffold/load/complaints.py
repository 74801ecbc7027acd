"""What the kernel complained of while something other than a load went on, with the line of source."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kscaffold.diagnosis import crash
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.addr2line import SourceLine, locate_complaints
from kscaffold.records import replace


def complaints_of(
    records: Sequence[Record],
    files: Mapping[str, ModuleFile],
    tainted: int | None,
    *,
    waiting: bool = False,
) -> tuple[tuple[Complaint, ...], SourceLine | None]:
    """The complaints in these records, each with its line of source where it is in one of `files` (by the
    kernel's name of the module; of several that call each other the innermost), and the first of these lines.

    `tainted`: the kernel's kernel.tainted since; None where the kernel no longer answers: a panic counts
    then. `waiting`: as for harmless_complaints().
    """
    if not crash.may_have_complaint(records):
        return (), None
    found = {c.index: c for c in crash.complaints(records)}
    known = frozenset(files)
    found |= {c.index: c for c in crash.complaints(records, known) if c.module in known}
    shown = [found[index] for index in sorted(found)]
    if tainted is not None:
        shown = list(crash.harmless_complaints(shown, tainted, waiting=waiting))
    first: SourceLine | None = None
    for number, complaint in enumerate(shown):
        if complaint.module is not None and complaint.module in files:
            (one,), place = locate_complaints(
                (complaint,), complaint.module, files[complaint.module], records
            )
            shown[number] = replace(one, module=complaint.module)
            first = first or place
    return tuple(shown), first


def files_by_module(paths: Iterable[Path]) -> dict[str, ModuleFile]:
    """The .ko files that are there, by the kernel's name of their module."""
    files = {}
    for path in paths:
        try:
            ko = ModuleFile.open(path)
        except KscaffoldError:
            continue
        files[ko.module] = ko
    return files
