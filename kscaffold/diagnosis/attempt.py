"""What a target saw of one call into its kernel, and what the kernel says of itself."""

from kscaffold.diagnosis.klog import Record
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What a kernel says of itself, to tell errnos with several meanings apart. None: not known.

    `capable`: the task that loads has CAP_SYS_MODULE where it counts. `seccomp`: a filter is on its system
    calls. `builtin`: the module's name belongs to code in the kernel itself. `modules_disabled`,
    `sig_enforce`: the settings of these names. `lockdown`: the kernel is locked down.
    """

    capable: bool | None = None
    modules_disabled: bool | None = None
    seccomp: bool | None = None
    lockdown: bool | None = None
    sig_enforce: bool | None = None
    builtin: bool | None = None


NOT_KNOWN = Facts()


@dataclass(frozen=True, slots=True)
class ModuleRequest:
    """A module that the kernel asked modprobe for. `modules`: those that were loaded for it, by the kernel's
    names, none where it is built in; None where there is no such module.
    """

    name: str
    modules: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was seen of one call into the kernel. None: not known there.

    `errno`: what the system call returned, positive, 0 for success. `records`: the log of this call only,
    None where the log can't be read. `answered`: the target's own answer to this request came. `heard`: the
    target can still be asked. `alive`: the target lives. `reset`: the guest's machine reset itself while
    the request was under way, or before that where `begun`, that the target had begun it, is false. `late`:
    the deadline passed. `killed_by`: the signal that ended the calling task. `note`: what the log lacks.
    `trace`: ftrace's text. `stack`: the kernel stack of a task that did not come back. `seconds`: spent in
    the kernel. `requests`: the modules that were asked for meanwhile.
    """

    errno: int | None = None
    records: tuple[Record, ...] | None = ()
    answered: bool = True
    heard: bool = True
    alive: bool = True
    reset: bool = False
    begun: bool = True
    late: bool = False
    killed_by: int | None = None
    trace: str | None = None
    note: str | None = None
    stack: str = ""
    seconds: float = 0.0
    requests: tuple[ModuleRequest, ...] = ()

    @property
    def log(self) -> tuple[Record, ...]:
        """The records; none where the log can't be read."""
        return self.records or ()

    @property
    def outlived(self) -> bool:
        """The kernel outlived the call: it answered, or ended the calling task."""
        return self.answered or self.killed_by is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of /proc/modules. `size` in bytes; `state` is Live, Loading or Unloading."""

    name: str
    size: int
    refcount: int
    used_by: tuple[str, ...]
    state: str
    taints: str
    permanent: bool
