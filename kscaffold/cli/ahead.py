"""A guest that restores while Python imports the rest and the project is looked at: half of a run's time.

So this file imports little.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from kscaffold import console
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox import session


@dataclass(frozen=True, slots=True)
class Ahead:
    """The kernel chosen, the guest planned for it, and its restore begun (None: it will have to boot)."""

    kernel: Kernel
    plan: session.Plan
    restoring: session.Restoring | None


@contextlib.contextmanager
def guest(kernel: str | None, cmdline: str, *, offline: bool) -> Iterator[Ahead]:
    """Choose the kernel and begin to restore a guest of it; closed at the end unless it was finished."""
    chosen = choose(kernel, offline=offline, say=console.step)
    plan = planned(chosen, cmdline)
    restoring = session.head_start(plan)
    try:
        yield Ahead(chosen, plan, restoring)
    finally:
        if restoring is not None and not restoring.finished:
            restoring.close()


def planned(chosen: Kernel, cmdline: str) -> session.Plan:
    """The guest for a kernel; says once why it is not accelerated."""
    plan = session.plan(chosen, cmdline)
    if plan.probed and plan.why_no_kvm:
        console.note(f"running without KVM: {plan.why_no_kvm}")
    elif plan.why_no_kvm:
        console.detail(f"running without KVM: {plan.why_no_kvm}")
    return plan
