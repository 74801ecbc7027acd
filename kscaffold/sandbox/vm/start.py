"""The start of a guest in its pristine state: restored where there is a whole snapshot, else booted."""

from kscaffold.errors import KscaffoldError
from kscaffold.progress import SILENT, Progress
from kscaffold.records import replace
from kscaffold.sandbox.agent.protocol import ChannelTimeout
from kscaffold.sandbox.vm import accelerator, restore_probe, snapshot
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import Plan, plan_vm
from kscaffold.sandbox.vm.restore import FAILURES, PendingRestore, begin_restore


def start_guest(planned: Plan, progress: Progress = SILENT, pending: PendingRestore | None = None) -> Guest:
    """A guest that answers. `pending`: the restore that `begin_restore` began for it.

    Raises DeadlineError KS604 when the guest does not come up, KscaffoldError KS605 when QEMU fails. With
    KVM such a failure marks KVM as broken on this machine, and the guest is started without KVM.
    """
    pending = pending or begin_restore(planned, progress.detail)
    if pending is not None:
        try:
            guest = pending.finish()
            restore_probe.note_alive(planned.program, planned.machine.architecture)
            return guest
        except FAILURES as error:
            pending.close()
            if isinstance(error, ChannelTimeout):
                planned = _without_life(planned, error, progress)
            # Whatever is wrong with the snapshot, a boot is the answer, and writes a new one.
            progress.detail(f"the snapshot could not be restored ({error}); booting")
        except BaseException:
            pending.close()
            raise
    from kscaffold.sandbox.vm.boot import boot  # start-up time: most guests are restored

    try:
        return boot(planned, progress)
    except KscaffoldError as error:
        if planned.machine.accelerator != "kvm" or error.code not in ("KS604", "KS605"):
            raise
        why = f"/dev/kvm passed the probe, but not with a real kernel: {error.what}"
        accelerator.mark_kvm_broken(planned.program, why)
        progress.step("Without", f"KVM: {why}")
        return start_guest(plan_vm(planned.kernel, planned.machine.cmdline, planned.trusted), progress)


def _without_life(planned: Plan, silence: ChannelTimeout, progress: Progress) -> Plan:
    """The plan once a restored guest gave no sign of life; what that proves is reported and remembered."""
    machine = planned.machine.architecture
    restore_probe.note_dead(planned.program, machine, greeted=silence.acknowledged)
    if restore_probe.restores_live(planned.program, machine):
        return planned
    snapshot.remove_snapshots(planned.kernel.release)
    why = f"snapshots: {planned.program} restores {machine.title} guests dead, so each one boots"
    progress.step("Without", why)
    return replace(planned, restorable=False)
