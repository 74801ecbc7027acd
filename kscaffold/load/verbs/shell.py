"""A BusyBox shell in the live sandbox of a directory."""

import os
from pathlib import Path

from kscaffold.kernel.choose import choose
from kscaffold.load.execute import busybox_of
from kscaffold.load.open_target import open_sandbox
from kscaffold.load.request import TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.progress import SILENT, Progress
from kscaffold.records import replace
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.live.shell import shell as run_shell


def shell(at: Path, where: TargetRequest, progress: Progress = SILENT) -> int:
    """Open a shell on this terminal; its exit status at its end, 128 and more for a signal.

    A sandbox is started where none runs; one that runs keeps its kernel, where no other is asked for.
    """
    card = registry.find_sandbox(at)
    where = replace(where, kernel=where.kernel or (card.kernel if card else None))
    kernel = choose(where.kernel, offline=where.offline, progress=progress)
    program = busybox_of(kernel, offline=where.offline, progress=progress)
    trusted = trusted_certificates(kernel, where, progress)
    with open_sandbox(at, kernel, where, trusted, progress) as (target, _):
        target.install_busybox(program)
        progress.note(
            "BusyBox's insmod exits with the errno cut to 8 bits, its modprobe knows no softdep: see dmesg"
        )
        status = os.waitstatus_to_exitcode(run_shell(target.channel, ["/bin/sh", "-i"]))
        return status if status >= 0 else 128 - status
