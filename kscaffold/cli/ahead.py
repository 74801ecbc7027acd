"""A guest that restores while Python imports the rest and the project is looked at: half of a run's time.

So this file imports little.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold import console
from kscaffold.build.freshness import fresh_targets
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.module.arguments import kernel_string
from kscaffold.module.quick import existing
from kscaffold.project.find import home
from kscaffold.sandbox import live, session, snapshot


@dataclass(frozen=True, slots=True)
class Ahead:
    """The kernel chosen, the guest planned for it, and its restore begun (None: it will have to boot)."""

    kernel: Kernel
    plan: session.Plan
    restoring: session.Restoring | None


@contextlib.contextmanager
def guest(
    words: Sequence[str], directory: Path, kernel: str | None, cmdline: str, *, offline: bool
) -> Iterator[Ahead]:
    """Choose the kernel and begin to restore a guest of it; closed at the end unless it was finished.

    Raises UsageError before that for words that can't be loaded.
    """
    check(words, directory)
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


def check(words: Sequence[str], directory: Path) -> None:
    """Raise UsageError for a .ko that is not there, and for a parameter the kernel can't be given."""
    for word in words:
        if "=" not in word:
            existing(directory / word)
    kernel_string([word for word in words if "=" in word])


def sandbox(words: Sequence[str], directory: Path, kernel: Kernel, cmdline: str) -> None:
    """Begin to start the live sandbox that a load will need. Not where something must be built first, for
    that may fail, nor where a boot would have to be told of.
    """
    with contextlib.suppress(KscaffoldError):  # whatever it is, the load says it
        at = home(directory)
        if all("=" in word for word in words) and fresh_targets(at, kernel) is None:
            return
        plan = session.plan(kernel, cmdline)
        if not plan.probed and (snapshot.place() / plan.key).exists():
            live.begin(at, plan)


def planned(kernel: Kernel, cmdline: str) -> session.Plan:
    """The guest for a kernel; says once why it is not accelerated."""
    plan = session.plan(kernel, cmdline)
    if plan.probed and plan.why_no_kvm:
        console.note(f"running without KVM: {plan.why_no_kvm}")
    elif plan.why_no_kvm:
        console.detail(f"running without KVM: {plan.why_no_kvm}")
    return plan
