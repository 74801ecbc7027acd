"""Where modules are loaded, as the verbs see it: a sandbox or this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from kscaffold.diagnosis.klog import Record

Kind = Literal["sandbox", "host"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a target says of itself, to tell errnos with several meanings apart. None: not known.

    `capable`: the caller has CAP_SYS_MODULE where it counts. `seccomp`: a filter is on its system calls.
    `builtin`: the name belongs to code in the kernel itself.
    """

    capable: bool | None = None
    modules_disabled: bool | None = None
    seccomp: bool | None = None
    lockdown: bool | None = None
    sig_enforce: bool | None = None
    builtin: bool | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was seen of one call into the kernel. None: not known there.

    `errno`: what the system call returned, positive, 0 for success. `answered`: the target's own answer
    to this request came. `heard`: the target can still be asked. `alive`: the target lives. `reset`: the
    guest's machine reset itself while the request was under way. `late`: the deadline passed.
    `killed_by`: the signal that ended the calling task. `records`: the log of this call only, None where
    it can't be read. `note`: what is missing in it. `trace`: ftrace's text. `stack`: the kernel stack of
    a task that did not come back. `facts`: of the target, after a failure. `seconds`: in the kernel.
    """

    errno: int | None
    records: tuple[Record, ...] | None = ()
    answered: bool = True
    heard: bool = True
    alive: bool = True
    reset: bool = False
    late: bool = False
    killed_by: int | None = None
    trace: str | None = None
    note: str | None = None
    stack: str = ""
    facts: Facts = Facts()
    seconds: float = 0.0


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


class Target(Protocol):
    """A kernel that modules can be loaded into. Methods raise KscaffoldError when it can't be asked."""

    kind: Kind
    release: str
    accelerator: str | None
    cmdline: str

    def load(self, ko: Path, parameters: str, timeout: float) -> Attempt:
        """Load a module once; `parameters` in the kernel's syntax, `timeout` in seconds."""

    def unload(self, name: str, timeout: float) -> Attempt:
        """Unload a module by the kernel's name for it."""

    def modules(self) -> list[Listed]:
        """What is in the list of modules."""

    def log(self) -> list[Record]:
        """What the kernel's log holds."""


def read_modules(text: str) -> list[Listed]:
    """/proc/modules, line by line: `name size refcount used_by state address taints`."""
    listed = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 6 or not words[1].isdigit():
            continue
        users = [u for u in words[3].split(",") if u and u != "-"]
        listed.append(
            Listed(
                name=words[0],
                size=int(words[1]),
                refcount=int(words[2]) if words[2].lstrip("-").isdigit() else 0,
                used_by=tuple(u for u in users if u != "[permanent]"),
                state=words[4],
                taints=words[6].strip("()") if len(words) > 6 else "",
                permanent="[permanent]" in users,
            )
        )
    return listed
