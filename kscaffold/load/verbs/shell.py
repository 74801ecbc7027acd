"""A BusyBox shell in the live sandbox of a directory: on a terminal, or of a script on standard input."""

import os
from pathlib import Path

from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.kernel.choose import choose
from kscaffold.load import live_copies
from kscaffold.load.execute import ENVIRONMENT, busybox_of
from kscaffold.load.open_target import open_sandbox
from kscaffold.load.request import TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.progress import SILENT, Progress
from kscaffold.records import replace
from kscaffold.sandbox.agent.channel import Channel, require_running
from kscaffold.sandbox.agent.program import ETIME, GuestProgram, run_program
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.live.shell import shell as run_shell

_LONGEST = 12 * 3600.0  # s, as a program on a terminal has


def shell(at: Path, where: TargetRequest, progress: Progress = SILENT) -> int:
    """Open a shell on this terminal, or run the script on standard input where that is none; the exit status
    at its end, 128 and more for a signal.

    A sandbox is started where none runs; one that runs keeps its kernel, where no other is asked for. Raises
    KscaffoldError KS610 where the guest's kernel ends meanwhile, KS620 where its process stays stopped.
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
        try:
            status = _on_terminal(target.channel) if os.isatty(0) else _of_script(target.channel)
        except (ChannelClosed, ChannelTimeout) as error:
            require_running(error)
            raise KscaffoldError(
                "KS610",
                "the sandbox's kernel ended while the shell was open",
                cause=str(error),
                fix="kscaffold logs shows its last words; kscaffold load starts a new one",
            ) from None
        live_copies.tell_news(at, target, progress)
        return status if status >= 0 else 128 - status


def _on_terminal(channel: Channel) -> int:
    return os.waitstatus_to_exitcode(run_shell(channel, ["/bin/sh", "-i"]))


def _of_script(channel: Channel) -> int:
    """The commands of this process's standard input, run without a prompt: on a terminal of the guest an end
    of the input that comes while a command runs would be lost.
    """
    program = GuestProgram("/bin/sh", ("sh",), environment=ENVIRONMENT)
    ended = run_program(channel, program, timeout=_LONGEST, input=0, on_output=_write, pass_signals=True)
    if ended.status is None:
        why = "its deadline has come" if ended.errno == ETIME else os.strerror(ended.errno)
        raise DeadlineError("KS609", "the shell did not end", cause=why)
    return ended.status


def _write(stream: int, data: bytes) -> None:
    while data:
        data = data[os.write(stream, data) :]
