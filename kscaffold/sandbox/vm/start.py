"""The start of a guest in its pristine state: restored where there is a whole snapshot, else booted."""

import os

from kscaffold import timeouts
from kscaffold.errors import KscaffoldError
from kscaffold.progress import SILENT, Progress
from kscaffold.records import replace
from kscaffold.sandbox.agent.protocol import ChannelTimeout, Verb
from kscaffold.sandbox.vm import accelerator, restore_probe, snapshot
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import Plan, plan_vm
from kscaffold.sandbox.vm.qemu import pci_address
from kscaffold.sandbox.vm.restore import FAILURES, PendingRestore, begin_restore


def start_guest(planned: Plan, progress: Progress = SILENT, pending: PendingRestore | None = None) -> Guest:
    """A guest that answers. `pending`: the restore that `begin_restore` began for it.

    Raises DeadlineError KS604 when the guest does not come up, KscaffoldError KS605 when QEMU fails. With
    KVM such a failure marks KVM as broken on this machine, and the guest is started without KVM.
    """
    guest = _start(planned, progress, pending)
    try:
        _find_devices(guest, len(planned.machine.devices))
    except BaseException:
        guest.close()
        raise
    return guest


def _start(planned: Plan, progress: Progress, pending: PendingRestore | None) -> Guest:
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
        machine = planned.machine
        return _start(
            plan_vm(planned.kernel, machine.cmdline, planned.trusted, machine.devices), progress, None
        )


def _find_devices(guest: Guest, count: int) -> None:
    """Let the guest's kernel search for its machine's further devices again: not every device of QEMU's has
    a state that a snapshot keeps (edu has none), and a restored one lacks the addresses that it was given.
    """
    files = [f"/sys/bus/pci/devices/{pci_address(number)}/remove" for number in range(count)]
    for file in [*files, "/sys/bus/pci/rescan"] if files else []:
        done = guest.channel.ask(
            Verb.WRITE, file.encode() + b"\0" + b"1", timeout=timeouts.seconds("ANSWER_TIMEOUT")
        )
        if done.status < 0:
            why = f"{file}: {os.strerror(-done.status)}"
            raise KscaffoldError("KS605", "the guest's kernel does not find a device", cause=why)


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
