"""Tasks that are busy in a module of a guest: a worker that waits for a lock for ever, a thread in a loop."""

from collections.abc import Mapping

from kscaffold.diagnosis.stacks import busy_tasks
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine, place_of_stack
from kscaffold.records import dataclass
from kscaffold.targets.sandbox import SandboxTarget


@dataclass(frozen=True, slots=True)
class Stuck:
    """A task by its name. `runs`: it does not sleep. `place`: where it is in a module's source. `stack`: the
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
    found = []
    for telling in busy_tasks(target.stacks()):
        place = place_of_stack(telling.text, files)
        if place:
            found.append(Stuck(telling.name, telling.runs, place, telling.text))
    return tuple(found)
