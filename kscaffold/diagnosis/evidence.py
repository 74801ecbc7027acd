"""What is known of one load, gathered by whoever loaded: the verdict is made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.trace import Timeline


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one load. None: not known.

    `module`: the kernel's name (`ret_1`). `errno`: what the system call returned, positive, 0 for success.
    `answered`: the target's own answer to this request came. `alive`: the target lives. `reset`: it
    reset itself meanwhile. `late`: the
    deadline passed first. `killed_by`: the signal that ended the loading task. `records`: the log of
    this load only; `log_seen`: False where it could not be read.
    `timeline`: trace.timeline() of it. `init_started`: init ran, proven by other means than
    the trace; `has_init`: the .ko has an init; `layout_version`: it has a checksum of module_layout.
    `tainted`: kernel.tainted after it. `loaded_before`: the name was in the list before, as
    `state_before` (Live, Loading, Unloading). `state_after`: its state now. `cmdline`: the kernel's.
    `capable`, `modules_disabled`, `seccomp`, `lockdown`, `sig_enforce`, `signed`, `builtin`: facts of the
    target and the .ko that tell errnos with several meanings apart. `symbols`: for symbols that may be
    unknown to the kernel, `gpl-only`, `missing`, or the name of the module that exports it; `circle NAME`
    where that module needs this one in turn.
    """

    module: str
    errno: int | None = None
    answered: bool = True
    alive: bool = True
    reset: bool = False
    late: bool = False
    killed_by: int | None = None
    records: Sequence[Record] = ()
    log_seen: bool = True
    timeline: Timeline | None = None
    init_started: bool | None = None
    has_init: bool | None = None
    layout_version: bool | None = None
    tainted: int | None = None
    loaded_before: bool | None = None
    state_before: str | None = None
    state_after: str | None = None
    cmdline: str = ""
    capable: bool | None = None
    modules_disabled: bool | None = None
    seccomp: bool | None = None
    lockdown: bool | None = None
    sig_enforce: bool | None = None
    signed: bool | None = None
    builtin: bool | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)
