"""What one load gave, and its JSON."""

from dataclasses import dataclass
from pathlib import Path

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.trace import Timeline
from kscaffold.diagnosis.verdict import Judgement
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine
from kscaffold.module.arguments import Parameters
from kscaffold.targets.target import Kind


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One module, loaded once. `file`: the .ko that was loaded. `dependencies`: the kernel's names of the
    modules that were loaded for it. `note`: what its log lacks. `stack`: the kernel stack of a load that did
    not come back. `prediction_mismatch`: how the kernel's answer differs from what was predicted.
    `place`: the line of source that the kernel's first complaint is about. `timeline`: what the trace
    showed, None where there was none.

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

    @property
    def path(self) -> Path:
        """Where the .ko is."""
        return self.file.path

    @property
    def ok(self) -> bool:
        """It is loaded, or was until it was unloaded well."""
        return self.judgement.verdict == "loaded"
