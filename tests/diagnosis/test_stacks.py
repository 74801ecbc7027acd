"""Which kernel stack says why a program does not end."""

import pytest

from kscaffold.diagnosis.stacks import OTHERS_CALL, TellingStack, busy_tasks, stack_of_call, telling_stack

PARENT = "[<0>] do_wait+0x1/0x2\n[<0>] entry_SYSCALL_64_after_hwframe+0x6/0x8\n"
CHILD = "[<0>] msleep+0x1/0x2\n[<0>] trap_write+0x1/0x2 [trap]\n"
FLUSH = "[<0>] __flush_work.isra.0+0x11a/0x300\n[<0>] trap_ioctl+0x1/0x2 [trap]\n"
LOCK = "[<0>] trap_ioctl+0x8/0xc [trap]\n[<0>] __x64_sys_ioctl+0x8d/0xd0\n"
WORK = "[<0>] trap_work+0x4/0x9 [trap]\n[<0>] process_one_work+0x1c7/0x380\n"
WORKER = f"+33 (kworker/0:2+events) R\n{WORK}\n"


def test_of_a_programs_own_tasks_the_one_in_a_module_tells():
    stacks = f"80 (sh) S\n{PARENT}\n81 (call) D\n{CHILD}\n82 (call) S\n{PARENT}\n"
    assert telling_stack(stacks) == TellingStack(CHILD)
    assert telling_stack(f"80 (sh) S\n{PARENT}\n") == TellingStack(PARENT)
    assert telling_stack(f"80 (a) b) (c\nd) R\n{CHILD}\n") == TellingStack(CHILD, "", True)
    assert telling_stack("80 (sh) R\n\n") == TellingStack("", "", True)
    assert telling_stack("\n\n") == telling_stack("") == TellingStack()


UNTIL_END = (
    "__flush_work flush_workqueue __flush_workqueue drain_workqueue __cancel_work_timer __cancel_work_sync "
    "cancel_delayed_work_sync kthread_stop del_timer_sync timer_delete_sync tasklet_kill free_irq"
)


@pytest.mark.parametrize("waits", UNTIL_END.split())
def test_who_waits_until_another_one_ends_is_not_at_fault(waits):
    flush = FLUSH.replace("__flush_work", waits)
    told = telling_stack(f"81 (call) D\n{flush}\n+81 (call) D\n{flush}\n{WORKER}")
    text = f"kworker/0:2+events:\n{WORK}{OTHERS_CALL}\n{flush}"
    assert told == TellingStack(text, "kworker/0:2+events", True)
    assert stack_of_call(told.text) == flush


def test_who_waits_for_a_lock_is_told_first_and_who_may_hold_it_behind():
    told = telling_stack(f"81 (call) D\n{LOCK}\n{WORKER.replace(') R', ') D')}")
    assert told == TellingStack(f"{LOCK}kworker/0:2+events:\n{WORK}")
    assert stack_of_call(told.text) == LOCK


@pytest.mark.parametrize(
    ("own", "other", "at_fault"),
    [("S", "R", True), ("D", "D", True), ("S", "D", False), ("R", "S", False), ("S", "S", False)],
)
def test_a_program_outside_of_modules_is_kept_by_one_that_is_busy_in_a_module(own, other, at_fault):
    """A thread that sleeps until there is something to do keeps nobody."""
    told = telling_stack(f"80 (poll) {own}\n{PARENT}\n{WORKER.replace(') R', f') {other}')}")
    assert told.name == ("kworker/0:2+events" if at_fault else "")
    assert told.text.startswith("kworker" if at_fault else PARENT)


def test_the_busiest_of_others_is_at_fault():
    idle = f"+34 (idle) S\n{CHILD}\n"
    told = telling_stack(f"81 (call) D\n{FLUSH}\n{idle}{WORKER}")
    assert told.name == "kworker/0:2+events"
    assert busy_tasks(idle + WORKER) == [TellingStack(f"kworker/0:2+events:\n{WORK}", told.name, True)]


def test_what_an_interrupt_made_a_kernel_tell_has_no_task():
    assert telling_stack(LOCK) == TellingStack(LOCK, "", True)
    assert stack_of_call(LOCK) == LOCK


def test_a_worker_that_waits_in_its_last_call_may_be_any_module_s():
    last = "[<0>] process_one_work+0x1c4/0x380\n[<0>] kthread+0xd7/0x100\n"
    told = TellingStack(f"kworker/0:1+events:\n{last}", "kworker/0:1+events")
    assert busy_tasks(f"+33 (kworker/0:1+events) D\n{last}\n") == [told]
    assert busy_tasks(f"+33 (kworker/0:1+events) R\n{last}\n+34 (sh) D\n{PARENT}\n") == []
