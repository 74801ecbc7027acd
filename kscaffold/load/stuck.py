"""Tasks that are busy in a module of a guest: a worker that waits for a lock for ever, a thread in a loop."""

import contextlib
from collections.abc import Mapping, Sequence

from kscaffold import lazy
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.stacks import busy_tasks, is_in_module
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine, place_of_function, place_of_stack
from kscaffold.records import dataclass
from kscaffold.targets.sandbox import SandboxTarget

_ASK_KERNEL = "/proc/sysrq-trigger"
_BLOCKED = b"w"  # its key for the tasks that sleep so that no signal wakes them
_TASK = lazy.pattern(r"task:(\S+) +state:")
_WORK = lazy.pattern(r"Workqueue: .{1,40} ([\w.]+) \[(\w+)\]$")


@dataclass(frozen=True, slots=True)
class Stuck:
    """A task by its name. `runs`: it does not sleep. `place`: where it is in a module's source; of a worker
    that waits in the last call of its work item, which leaves no frame, that item's function. `stack`: the
    kernel's, behind a line with its name.
    """

    name: str
    runs: bool
    place: SourceLine
    stack: str

    def __str__(self) -> str:
        return f"{self.name} {'runs' if self.runs else 'waits'} at {self.place}"


def stuck_in(target: SandboxTarget, files: Mapping[str, ModuleFile]) -> tuple[Stuck, ...]:
    """The tasks that are in one of these modules and run, or sleep so that no signal wakes them: now, so one
    that works for a moment is among them. Raises KscaffoldError where the guest does not answer.
    """
    found, unknown = [], []
    for telling in busy_tasks(target.stacks(busy=True)):
        place = place_of_stack(telling.text, files)
        if place:
            found.append(Stuck(telling.name, telling.runs, place, telling.text))
        elif not is_in_module(telling.text):
            unknown.append(telling)
    if unknown:  # the kernel knows more, and says it in its log
        with contextlib.suppress(OSError):
            target.write(_ASK_KERNEL, _BLOCKED)
        items = _work_items(target.log())
        for telling in unknown:
            function, module = items.get(telling.name.partition("+")[0], ("", ""))
            place = place_of_function(function, files[module]) if module in files else None
            if place:
                found.append(Stuck(telling.name, telling.runs, place, telling.text))
    return tuple(found)


def _work_items(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """By the name of each worker that the kernel told of: the function and the module of its work item."""
    items, worker = {}, ""
    for record in records:
        if task := _TASK.match(record.text):
            worker = task[1]
        elif worker and (work := _WORK.match(record.text)):
            items[worker] = work[1], work[2]
    return items
