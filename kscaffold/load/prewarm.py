"""A guest that restores while Python imports the rest and the project is looked at: half of a run's time.

So this file imports little.
"""

import contextlib
from collections.abc import Iterator

from kscaffold.errors import KscaffoldError
from kscaffold.kernel.choose import choose, to_load
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass, replace
from kscaffold.sandbox.vm.plan import Plan, plan_vm
from kscaffold.sandbox.vm.restore import PendingRestore, begin_restore


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """The kernel chosen, the guest planned for it, and its restore begun (None: it will have to boot)."""

    kernel: Kernel
    plan: Plan
    restoring: PendingRestore | None


@contextlib.contextmanager
def prewarm_guest(where: TargetRequest, progress: Progress = SILENT) -> Iterator[Prewarmed]:
    """Choose the kernel and begin to restore a guest of it; closed at the end unless it was finished."""
    kernel = choose(where.kernel, offline=where.offline, progress=progress, programs=to_load())
    plan = plan_guest(kernel, where, trusted_certificates(kernel, where, progress), progress)
    restoring = begin_restore(plan, progress.detail)
    try:
        yield Prewarmed(kernel, plan, restoring)
    finally:
        if restoring is not None and not restoring.finished:
            restoring.close()


def for_live_sandbox(request: LoadRequest, where: TargetRequest, *, again: bool = False) -> TargetRequest:
    """The target of a load that names no kernel. Of .ko files it is that of the live sandbox if the first one
    was built for it: what runs there would end for a kernel that refuses the file. `again`: of a project's
    modules it is that, too.
    """
    if where.host or where.kernel or not (request.kos or again):
        return where
    # start-up time: most loads are of a project's modules
    from kscaffold.files import reader
    from kscaffold.project.find import home
    from kscaffold.sandbox.live import registry

    with contextlib.suppress(KscaffoldError, OSError):  # the load raises it again, where somebody hears it
        card = registry.find_sandbox(home(request.directory))
        mark = f"vermagic={card.kernel} ".encode() if card else b""
        if card and (not request.kos or mark in reader.read_bytes(request.kos[0], reader.MOST_IMAGE)):
            return replace(where, kernel=card.name)
    return where


def prewarm_sandbox(
    request: LoadRequest, where: TargetRequest, progress: Progress = SILENT
) -> tuple[Kernel, tuple[bytes, ...]]:
    """Choose the kernel and begin to start the live sandbox that a load will need; the kernel, and the
    certificates (DER) that the sandbox trusts.

    Nothing is started where something must be built first, for that may fail, nor where a boot would have
    to be reported.
    """
    # start-up time: `run` keeps no sandbox
    from kscaffold.make.fingerprint.compare import fresh_targets
    from kscaffold.project.find import home
    from kscaffold.sandbox.live import registry
    from kscaffold.sandbox.vm import snapshot

    kernel = choose(where.kernel, offline=where.offline, progress=progress, programs=to_load())
    trusted = trusted_certificates(kernel, where, progress)
    with contextlib.suppress(KscaffoldError):  # the load raises it again, where somebody hears it
        at = home(request.directory)
        if request.kos or fresh_targets(at, kernel) is not None:
            plan = plan_vm(kernel, where.cmdline, trusted, where.devices)
            if not plan.probed and (snapshot.snapshots_dir() / plan.key).exists():
                registry.begin_sandbox(at, plan)
    return kernel, trusted


def plan_guest(kernel: Kernel, where: TargetRequest, trusted: tuple[bytes, ...], progress: Progress) -> Plan:
    """The guest for a kernel; reports once why it is not accelerated."""
    plan = plan_vm(kernel, where.cmdline, trusted, where.devices)
    if plan.why_no_kvm:
        report = progress.note if plan.probed else progress.detail
        report(f"running without KVM: {plan.why_no_kvm}")
    return plan
