"""What was seen of the guest of a test."""

from pathlib import Path

from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.flaws import Flaw
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport
from kscaffold.records import dataclass, field


@dataclass(slots=True)
class Evidence:
    """What was seen of a guest besides its log, kept for the time when the guest does not answer."""

    commands: list[str] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    place: SourceLine | None = None
    trace: str = ""
    stack: str = ""
    lost: bool = False
    late: bool = False
    waited: bool = False
    used: bool = False
    loads: list[LoadReport] = field(default_factory=list)
    unloads: list[UnloadReport] = field(default_factory=list)
    modules: dict[str, Path] = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()
