"""The restore of a guest from its snapshot: begun without waiting, finished when the guest is needed."""

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from kscaffold import process, timeouts
from kscaffold.arch import table
from kscaffold.records import dataclass
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout, Verb
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.guest import (
    Guest,
    greet,
    greeting,
    milliseconds_since,
    new_directory,
    spawn,
    take_greeting,
)
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.qmp import Monitor, MonitorError

# What shows that a snapshot can't be used; the guest is booted then.
FAILURES = (MonitorError, ChannelClosed, ChannelTimeout, OSError)


@dataclass(slots=True)
class PendingRestore:
    """A guest that restores while its command does other work. Finish it, or close it.

    `hello`: the nonce of the greeting that waits for the agent. `began`: a moment of time.monotonic().
    `foreign`: it is of another machine. Its agent may find a greeting that waited without an interrupt; it is
    greeted once more.
    """

    guest: Guest
    monitor: Monitor
    hello: int
    began: float
    foreign: bool
    finished: bool = False

    def finish(self) -> Guest:
        """Wait for the agent's first answer. Raises one of FAILURES where the snapshot can't be used."""
        guest = self.greeted()
        guest.monitor = self.monitor
        return guest

    def greeted(self) -> Guest:
        """The same as finish(); the monitor stays open."""
        self.finished = True  # the caller closes the guest from here on
        timeout = timeouts.seconds("RESTORE_TIMEOUT")
        self.monitor.end_restore(timeout)
        self.guest.times["restored"] = milliseconds_since(self.began)
        take_greeting(self.guest, self.guest.channel.answer(self.hello, timeout))
        if self.foreign:
            greet(self.guest, timeout)
        self.guest.times["answered"] = milliseconds_since(self.began)
        return self.guest

    def close(self) -> None:
        """End a guest that nobody needs."""
        self.monitor.close()
        self.guest.close()


def begin_restore(planned: Plan, detail: Callable[[str], None]) -> PendingRestore | None:
    """Begin to restore the planned guest, without waiting for it. None where there is no snapshot of it, and
    where QEMU can't begin with the snapshot; `detail` hears the reason then.
    """
    frozen = planned.frozen or (snapshot.find_snapshot(planned.key) if planned.restorable else None)
    if frozen is None:
        return None
    try:
        return _begin(planned, frozen, frozen.ram)
    except FAILURES as error:
        detail(f"the restore of the snapshot could not begin ({error})")
        return None


def restore_into(planned: Plan, frozen: snapshot.Snapshot, memory: int) -> PendingRestore:
    """Begin to restore a guest whose memory is in a descriptor of ours, a copy of the snapshot's, and stays
    there. Raises one of FAILURES.
    """
    return _begin(planned, frozen, memory)


def _begin(planned: Plan, frozen: snapshot.Snapshot, ram: Path | int) -> PendingRestore:
    began = time.monotonic()
    timeout = timeouts.seconds("RESTORE_TIMEOUT")
    directory = new_directory()
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        guest, qmp = spawn(planned, planned.machine, ram, True, directory)
        undo.callback(guest.channel.close)
        undo.callback(process.end, guest.qemu)
        guest.times["spawned"] = milliseconds_since(began)
        with frozen.state.open("rb") as state:
            qmp.begin_restore(state.fileno(), timeout)
        # The greeting waits for the agent in the socket.
        hello = guest.channel.begin(Verb.HELLO, greeting(), timeout=timeout)
        undo.pop_all()
    return PendingRestore(guest, qmp, hello, began, planned.machine.architecture is not table.host())
