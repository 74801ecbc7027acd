"""Kernel stacks of what did not come back, as the guest's agent tells them, and which of them says why."""

import itertools

from kscaffold import lazy
from kscaffold.records import dataclass

_HEAD = lazy.pattern(r"(?s)(?P<other>\+?)(?P<pid>\d+) \((?P<name>.*?)\) (?P<state>\w)\n(?=\[|\Z)")
_IN_MODULE = lazy.pattern(r"(?m) \[\w+\]$")
_FUNCTION = lazy.pattern(r"(?m)^\[<\w+>\] ([\w.]+)\+")
_BLOCKS = lazy.pattern(r"(?m)^\n")
# Functions of the kernel that return when a work item, a timer, a thread or a handler has ended.
_UNTIL_END = lazy.pattern(
    r"_*(?:(?:flush|cancel|drain|destroy)_(?:delayed_)?work(?:_sync|queue|_timer)?|flush_scheduled_work"
    r"|kthread_(?:stop|stop_put|flush_work(?:er)?|cancel_work_sync|destroy_worker)|tasklet_(?:kill|disable)"
    r"|(?:try_to_)?del_timer_sync|timer_(?:delete|shutdown)_sync|hrtimer_cancel|free_irq|synchronize_irq"
    r"|irq_work_sync|napi_disable)(?:\.\w+)*"
)
# A worker that waits in the last call of its work item, which left no frame.
_IN_LAST_CALL = lazy.pattern(r"\[<\w+>\] process_one_work\+")
_BUSY = "RDS"  # states of tasks, that of who keeps others from going on first
OTHERS_CALL = "what waits for it:"
"""The line between the stack that is at fault and that of the call which does not come back."""


@dataclass(frozen=True, slots=True)
class TellingStack:
    """`text`: kernel stacks, the innermost call first, that of who is at fault before the others. `name`: of
    that task, where it is none of the program's own. `runs`: it does not sleep.
    """

    text: str = ""
    name: str = ""
    runs: bool = False


NOT_KNOWN = TellingStack()


@dataclass(frozen=True, slots=True)
class _Task:
    pid: int
    name: str
    state: str
    frames: str
    other: bool = False


def telling_stack(stacks: str) -> TellingStack:
    """Of the stacks of a program's threads and of what it began, and of all tasks that are in a module: those
    that tell why it does not come back.

    Its own comes first, the first one that is in a module where one is; but behind another task's where it
    waits until that has ended, and where it is in no module itself and the other one keeps it from going on.
    A stack without a task before it is that of a kernel which an interrupt made speak.
    """
    tasks = [task for block in _BLOCKS.split(stacks) if (task := _read(block))]
    own = [task for task in tasks if not task.other]
    known = {task.pid for task in own}
    others = sorted(
        (task for task in tasks if task.other and task.pid not in known),
        key=lambda task: _BUSY.find(task.state),
    )
    inside = next((task for task in own if _IN_MODULE.search(task.frames)), None)
    first = inside or next((task for task in own if task.frames), None) or next(iter(own), None)
    stacks_of_others = "".join(f"{task.name}:\n{task.frames}" for task in others)
    if others and first and _is_kept(first, others[0], inside=inside is not None):
        text = stacks_of_others + (f"{OTHERS_CALL}\n{first.frames}" if first.frames else "")
        return TellingStack(text, others[0].name, others[0].state == "R")
    return TellingStack(first.frames + stacks_of_others, "", first.state == "R") if first else NOT_KNOWN


def stack_of_call(text: str) -> str:
    """Of a telling stack's text, what belongs to the call that does not come back."""
    frames = text.rpartition(OTHERS_CALL)[2].splitlines(keepends=True)
    return "".join(itertools.takewhile(lambda line: not line.rstrip().endswith(":"), frames)).lstrip()


def busy_tasks(stacks: str) -> list[TellingStack]:
    """Of the tasks that run, or sleep so that no signal wakes them, those that are in a module, and workers
    that wait in the last call of their work item, whose module no frame tells.
    """
    tasks = filter(None, map(_read, _BLOCKS.split(stacks)))
    return [
        TellingStack(f"{task.name}:\n{task.frames}", task.name, task.state == "R")
        for task in tasks
        if (task.state in "RD" and is_in_module(task.frames))
        or (task.state == "D" and _IN_LAST_CALL.match(task.frames))
    ]


def is_in_module(stack: str) -> bool:
    """Whether a frame of a stack is a module's."""
    return _IN_MODULE.search(stack) is not None


def _is_kept(task: _Task, other: _Task, *, inside: bool) -> bool:
    """Whether a task, `inside` a module, does not go on because of another one that is in a module."""
    if inside:
        return any(map(_UNTIL_END.fullmatch, _FUNCTION.findall(task.frames)))
    return other.state == "R" or task.state == other.state == "D"


def _read(block: str) -> _Task | None:
    head = _HEAD.match(block)
    if head is None:  # of a kernel that did not answer: what an interrupt came upon
        return _Task(0, "", "R", block) if block.strip() else None
    frames = block[head.end() :]
    name = "".join(c if c.isprintable() else "?" for c in head["name"])
    return _Task(int(head["pid"]), name, head["state"], frames, bool(head["other"]))
