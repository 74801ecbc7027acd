"""How a program that ran in a sandbox looks: its own output, then what the kernel said."""

import os
import signal

from kscaffold import console
from kscaffold.cli.documents import exec as documents
from kscaffold.diagnosis import errnos
from kscaffold.errors import EXIT_NO, EXIT_NO_ANSWER, ProgramStatus
from kscaffold.load.execute import ExecRequest, Executed
from kscaffold.sandbox.agent.program import STDOUT

_BY_SIGNAL = 128  # added to a signal's number, as shells do
_MOST_FRAMES = 8
_NOT_FOUND, _NOT_RUN = 127, 126


class Heard:
    """Passes the program's output to our own streams as it comes; with `keep`, keeps it for the document."""

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.kept: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}

    def __call__(self, stream: int, data: bytes) -> None:
        """Take what came on a stream."""
        if self.keep:
            self.kept[stream] += data
            return
        while data:
            data = data[os.write(stream, data) :]

    def text(self, stream: int) -> str:
        """The output that was kept of a stream."""
        return self.kept[stream].decode(errors="replace")


def executed(request: ExecRequest, done: Executed, heard: Heard) -> int:
    """Show what the kernel said, emit the document, return the exit status: the program's if it has one."""
    from kscaffold.cli.render import load as render_load  # start-up time: the program ran meanwhile

    if done.failed_build:
        from kscaffold.cli.render import build  # start-up time: most builds go well

        return build.failed_build("exec", done.failed_build)
    refused = [report for report in done.loads if not report.ok]
    for report in refused:
        render_load.loaded(report)
    if not refused:
        _report(request, done)
    console.emit(
        "exec", done.ok, documents.executed(request, done, heard.text(STDOUT), heard.text(STDOUT + 1))
    )
    return EXIT_NO if refused else ProgramStatus(_status(done))


def _report(request: ExecRequest, done: Executed) -> None:
    from kscaffold.cli.render.source_line import source  # start-up time: the program ran meanwhile

    name = console.printable(request.words[0])
    if done.errno and not done.late:
        console.warn(f"{name} did not start: {os.strerror(done.errno)} ({errnos.name(done.errno)})")
    if done.late:
        console.warn(
            f"{name} did not end within {request.timeout:g} s, and was killed",
            f"kscaffold exec --timeout {request.timeout * 5:g} …",
        )
        if done.stands:
            console.note(f"  {console.printable(done.stands.removeprefix(': '))}")
        for line in done.stack.splitlines()[:_MOST_FRAMES]:
            console.note(f"  | {console.printable(line)}")
    if done.lost:
        ending = console.printable(done.ending) or "its kernel crashed, or does not answer any more"
        console.warn(f"the sandbox did not outlive {name}: {ending}")
    if done.status is not None and done.status < 0:
        console.note(f"{name} was killed by {_signal(-done.status)}")
    for complaint in done.complaints:
        console.warn(f"the kernel complained: {console.printable(complaint.summary)}")
    if done.place:
        source(done.place, console.note)
    if done.complaints:
        console.note("  more: kscaffold logs")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _status(done: Executed) -> int:
    if done.errno and not done.late:
        return _NOT_FOUND if os.strerror(done.errno).startswith("No such") else _NOT_RUN
    if done.status is None:
        return EXIT_NO_ANSWER
    return done.status if done.status >= 0 else _BY_SIGNAL - done.status
