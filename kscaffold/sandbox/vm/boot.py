"""The cold boot of a guest, and the freeze that makes its snapshot."""

import contextlib
import mmap
import os
import shutil
import time
from pathlib import Path

from kscaffold import process, timeouts
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.progress import Progress, Work
from kscaffold.records import replace
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout
from kscaffold.sandbox.vm import qemu, snapshot
from kscaffold.sandbox.vm.guest import LOG, Guest, greet, milliseconds_since, new_directory, spawn
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.qmp import Monitor, MonitorError

_BOOT_TRIES = 3
_RESET_TRIES = 3
_QUIESCED = 0.05  # s of a processor for a guest that has nothing to do but to take an interrupt


class _ResetError(KscaffoldError):
    """The guest's kernel died, and so reset its machine, before the agent's first answer."""


def boot(planned: Plan, progress: Progress) -> Guest:
    """Boot a guest and keep its snapshot; a boot that hangs, or that resets its machine, is tried again.

    Raises DeadlineError KS604 when the guest does not come up, KscaffoldError KS605 when QEMU fails.
    """
    with progress.work(boot_work(planned)):
        return _boot(planned, progress)


def boot_work(planned: Plan) -> Work:
    """A boot, as work that a user waits for."""
    once = "once: later starts take a tenth of the time"
    each = f"each time: this QEMU restores no {planned.machine.architecture.title} guest alive"
    text, began = f"{planned.kernel.name} ({once if planned.restorable else each})", time.monotonic()
    usual = snapshot.usual_boot(planned.kernel.release)
    return Work("Booting", text, (lambda: time.monotonic() - began) if usual else None, usual, "s")


def _boot(planned: Plan, progress: Progress) -> Guest:
    hung = reset = 0
    while True:
        try:
            return boot_once(planned, progress)
        except DeadlineError:
            hung += 1
            if hung == _BOOT_TRIES:
                raise
            progress.detail("the guest did not come up in time; trying again")
        except _ResetError:
            reset += 1
            if reset == _RESET_TRIES:
                raise
            progress.detail("the guest's machine was reset while it booted; trying again")


def boot_once(planned: Plan, progress: Progress) -> Guest:
    """Try `boot` once, within a third of its time; slow machines get several times that."""
    began = time.monotonic()
    patience = planned.machine.architecture.boot_patience
    timeout = timeouts.seconds("BOOT_TIMEOUT") / _BOOT_TRIES * patience
    directory = new_directory()
    memory = os.memfd_create("kscaffold-ram")
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, memory)
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        start = write_initramfs(planned, directory)
        os.ftruncate(memory, planned.machine.memory << 20)
        machine = replace(planned.machine, initramfs=start, tsc_khz=counter_khz(planned.machine.architecture))
        # Not a file on a disk: writing to a mapped file on a full disk kills.
        guest, qmp = spawn(planned, machine, memory, False, directory)
        undo.callback(guest.channel.close)
        undo.callback(process.end, guest.qemu)
        guest.times["spawned"] = milliseconds_since(began)
        try:
            greet(guest, timeout)
        except ChannelTimeout:
            raise DeadlineError(
                "KS604",
                f"the guest did not come up within {timeout:g} s",
                cause=_last_line(guest.console()) or "its kernel has said nothing",
                fix=_without_cmdline(planned) or "give it longer: KSCAFFOLD_BOOT_TIMEOUT=120",
            ) from None
        except ChannelClosed:
            raise _ended(guest, planned) from None
        guest.times["booted"] = milliseconds_since(began)
        if planned.restorable:
            quiesce(guest)
            _freeze(planned, guest, qmp, memory, progress)
            guest.times["frozen"] = milliseconds_since(began)
        guest.monitor = qmp
        undo.pop_all()
        os.close(memory)
    return guest


def write_initramfs(planned: Plan, directory: Path) -> qemu.Initramfs:
    """Write the guest's initramfs into `directory`, and choose its address in the guest: the middle of
    memory where the kernel can be told (initrdmem=, 5.8 and later), else QEMU's choice.
    """
    file, content = directory / "initramfs", guest_root.build_initramfs(planned.kernel)
    file.write_bytes(content)
    with (
        planned.machine.vmlinux.open("rb") as image,
        mmap.mmap(image.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        told_in_memory = planned.machine.architecture.initramfs_in_memory
        can_be_told = told_in_memory and mapped.find(b"initrdmem\0") >= 0
    return qemu.Initramfs(file, len(content), planned.machine.memory << 19 if can_be_told else None)


def counter_khz(architecture: Architecture) -> int | None:
    """The rate of this machine's counter in kHz, measured by the agent: Python can't. None where the guest's
    kernel need not be told.
    """
    if not architecture.counter_parameter:
        return None
    # The counter is this machine's, whatever the guest is.
    with guest_root.compiled_agent(table.host() or architecture) as program:
        done = process.run([str(program)], timeout=5)
    return int(done.stdout) if done.stdout.strip().isdecimal() else None


def quiesce(guest: Guest) -> None:
    """Wait until the guest has had a processor for a moment since its last answer, so that it has taken the
    interrupt that the answer ended with. QEMU 7.2 keeps no interrupt of an s390x guest's devices that is
    pending in its state: each guest restored from such a snapshot takes one request, and no other.
    """
    waited, began = process.cpu_wait_seconds(guest.qemu.pid), time.monotonic()
    while time.monotonic() - began < _QUIESCED + process.cpu_wait_seconds(guest.qemu.pid) - waited:
        time.sleep(_QUIESCED / 4)


def _freeze(planned: Plan, guest: Guest, qmp: Monitor, memory: int, progress: Progress) -> None:
    """Stop the guest, write its snapshot, let it go on. On a full disk it goes on without a snapshot."""
    stopped = False
    try:
        with os.fdopen(os.memfd_create("kscaffold-state"), "r+b") as state, snapshot.scratch_dir() as making:
            stopped = True
            qmp.save(state.fileno(), timeouts.seconds("BOOT_TIMEOUT"))
            state.seek(0)
            booted = guest.times["booted"] / 1000
            snapshot.write_snapshot(planned.key, planned.kernel, memory, state.read(), making, seconds=booted)
    except OSError as error:
        progress.detail(f"no snapshot was kept: {error.strerror or error}")
        if not stopped:
            return
    except MonitorError as error:
        raise KscaffoldError("KS605", "QEMU could not write the guest's state", cause=str(error)) from None
    timeout = timeouts.seconds("RESTORE_TIMEOUT")
    try:
        qmp.proceed(timeout)
        greet(guest, timeout)
    except ChannelClosed:
        raise _ended(guest, planned) from None
    except (MonitorError, ChannelTimeout) as error:
        raise DeadlineError(
            "KS604",
            f"the guest did not go on within {timeout:g} s of being frozen",
            cause=str(error),
            fix="give it longer: KSCAFFOLD_RESTORE_TIMEOUT=60",
        ) from None


def _without_cmdline(planned: Plan) -> str | None:
    """What to try first where a guest does not come up."""
    machine = planned.machine
    if machine.cmdline:
        return f"leave out --cmdline {machine.cmdline!r:.200}"
    return f"leave out --device {machine.devices[0]!r:.200}" if machine.devices else None


def _ended(guest: Guest, planned: Plan) -> KscaffoldError:
    """The error for a guest that ended, or whose QEMU ended, before the agent's first answer."""
    process.wait(guest.qemu, 1)
    complaint = _last_line((guest.directory / LOG).read_text(errors="replace"))
    cause = complaint or _last_line(guest.console()) or "it said nothing"
    kind = KscaffoldError if complaint or guest.qemu.returncode else _ResetError
    what = "the guest ended before its agent answered"
    return kind("KS605", what, cause=cause, fix=_without_cmdline(planned))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A panic says more than what comes after it.
    lines = [line for line in lines if "Kernel panic - " in line] or lines
    return lines[-1][:300] if lines else ""
