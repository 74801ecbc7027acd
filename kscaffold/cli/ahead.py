"""A guest that restores while Python imports the rest and the project is looked at: half of a run's time.

So this file imports little.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold import console
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.find import home
from kscaffold.sandbox import live, session, snapshot


@dataclass(frozen=True, slots=True)
class Ahead:
    """The kernel chosen, the guest planned for it, and its restore begun (None: it will have to boot)."""

    kernel: Kernel
    plan: session.Plan
    restoring: session.Restoring | None


@contextlib.contextmanager
def guest(kernel: str | None, cmdline: str, *, offline: bool) -> Iterator[Ahead]:
    """Choose the kernel and begin to restore a guest of it; closed at the end unless it was finished."""
    found = chosen(kernel, offline=offline)
    plan = planned(found, cmdline)
    restoring = session.head_start(plan)
    try:
        yield Ahead(found, plan, restoring)
    finally:
        if restoring is not None and not restoring.finished:
            restoring.close()


def chosen(kernel: str | None, *, offline: bool) -> Kernel:
    """The kernel that a command means, fetched where there is none."""
    return choose(kernel, offline=offline, say=console.step)


def sandbox(words: Sequence[str], directory: Path, kernel: Kernel, cmdline: str) -> None:
    """Begin to start the live sandbox that a load will need. Not for a .ko that is not there, nor where a
    boot would have to be told of.
    """
    if any("=" not in word and not (directory / word).is_file() for word in words):
        return
    with contextlib.suppress(KscaffoldError):  # whatever it is, the load says it
        plan = session.plan(kernel, cmdline)
        if not plan.probed and (snapshot.place() / plan.key).exists():
            live.begin(home(directory), plan)


def planned(kernel: Kernel, cmdline: str) -> session.Plan:
    """The guest for a kernel; says once why it is not accelerated."""
    plan = session.plan(kernel, cmdline)
    if plan.probed and plan.why_no_kvm:
        console.note(f"running without KVM: {plan.why_no_kvm}")
    elif plan.why_no_kvm:
        console.detail(f"running without KVM: {plan.why_no_kvm}")
    return plan
