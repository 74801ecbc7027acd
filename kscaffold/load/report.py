"""The report of one load."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.arch import table
from kscaffold.diagnosis.attempt import ModuleRequest
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.trace import Timeline
from kscaffold.diagnosis.verdict import Judgement
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.flaws import Flaw, flaws_of_load, flaws_of_residue
from kscaffold.module.arguments import Parameters
from kscaffold.records import dataclass, field
from kscaffold.targets.target import Kind

if TYPE_CHECKING:
    from kscaffold.diagnosis.residue.kinds import Residue

NO_LOG = "this user may not read the kernel's log; kscaffold logs --host asks for the right"
"""The note of a report without a log."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One module, loaded once. `file`: the .ko that was loaded. `kernel`, `arch`: the kernel's release, and
    its machine as `uname -m` says it. `dependencies`: the kernel's names of the modules that were loaded for
    it. `note`: what its log lacks. `stack`: the kernel stack of a load that did not come back.
    `prediction_mismatch`: how the kernel's answer differs from what was predicted. `place`: the line of
    source that the kernel's first complaint is about. `timeline`: what the trace showed, None where there
    was none. `residue`: what was left behind after the unload; None where nobody looked, or could tell.
    `as_user`: an ordinary user loaded it. `requests`: the modules that were asked for meanwhile
    (request_module). `crashed_by`: another module, that crashed the kernel meanwhile.

    `seconds`: build, start (of the sandbox), load (in the kernel), total.
    """

    module: str
    file: ModuleFile
    parameters: Parameters
    target: Kind
    kernel: str
    judgement: Judgement
    log: tuple[Record, ...]
    seconds: dict[str, float]
    accelerator: str | None
    dependencies: tuple[str, ...] = ()
    note: str | None = None
    stack: str = ""
    prediction_mismatch: str | None = None
    place: SourceLine | None = None
    timeline: Timeline | None = None
    residue: "tuple[Residue, ...] | None" = None
    as_user: bool = False
    requests: tuple[ModuleRequest, ...] = ()
    crashed_by: str = ""
    arch: str = field(default_factory=lambda: os.uname().machine)

    @property
    def kernel_name(self) -> str:
        """The kernel, as people and --kernel name it."""
        return table.kernel_name(self.kernel, self.arch)

    @property
    def path(self) -> Path:
        """Where the .ko is."""
        return self.file.path

    @property
    def ok(self) -> bool:
        """Whether the module is loaded, or was until it was unloaded well."""
        return self.judgement.verdict == "loaded"

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """The flaws that make a successful load unclean: the kernel's complaints, and what was left."""
        return (*flaws_of_load(self), *flaws_of_residue(self.residue or ()))

    @property
    def clean(self) -> bool | None:
        """Whether the module is loaded, and nothing is against it. None where the log can't be read."""
        if not self.ok or self.flaws:
            return False
        return None if self.note == NO_LOG else True
