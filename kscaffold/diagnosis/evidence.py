"""What is known of one load, gathered by whoever loaded: the verdict is made from it."""

from collections.abc import Mapping

from kscaffold.diagnosis.attempt import NOT_KNOWN, Attempt, Facts
from kscaffold.diagnosis.trace import Timeline
from kscaffold.records import dataclass, field


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one load. None: not known.

    `module`: the kernel's name (`ret_1`). `attempt`: what the target saw of the load. `facts`: what the
    target's kernel says of itself, asked after a failure that these can explain. `timeline`:
    trace.timeline() of the attempt. `init_started`: init ran, proven by other means than the trace.
    `has_init`, `signed`, `layout_version`: the .ko has an init, a signature, a checksum of module_layout.
    `tainted`: kernel.tainted after the load. `loaded_before`: the name was in the list before, as
    `state_before` (Live, Loading, Unloading). `state_after`: its state after the load. `cmdline`: the
    kernel's. `symbols`: for symbols that may be unknown to the kernel, `gpl-only`, `missing`, or the name
    of the module that exports it; `circle NAME` where that module needs this one in turn. `looked_for`: the
    functions by which the module looks for hardware, and for what, where init says there is none. `foreign`:
    the machine that the .ko is for, as --arch takes it, where its kernel's is another one. `resets`: the call
    by which the module may have reset the machine. `not_given`: the parameters of a module that was given
    none, where its init calls that invalid.
    """

    module: str
    attempt: Attempt
    facts: Facts = NOT_KNOWN
    timeline: Timeline | None = None
    init_started: bool | None = None
    has_init: bool | None = None
    signed: bool | None = None
    layout_version: bool | None = None
    tainted: int | None = None
    loaded_before: bool | None = None
    state_before: str | None = None
    state_after: str | None = None
    cmdline: str = ""
    symbols: Mapping[str, str] = field(default_factory=dict)
    looked_for: tuple[tuple[str, str], ...] = ()
    foreign: str | None = None
    resets: str | None = None
    not_given: tuple[str, ...] = ()
