"""kscaffold in a process that counts what it does: python -m tests.support.counting RESULT ARGS…

The counts go to the file RESULT as JSON. They do not depend on how fast or how busy the machine is.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

_STARTS = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.spawn"}
# Files of Python's own, one file for each kernel there is, and one for each directory above a project.
_VARIES = re.compile(
    r"\.(?:pyc?|so|pth)$|/kernel\.json$|/Module\.symvers$|^/dev/|^/proc/|/site-packages/|/lib/python"
)

started: list[str] = []
opened: list[str] = []
requests: list[str] = []
guests: list[dict[str, int]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _STARTS:
        started.append(str(arguments[0]))
    elif event == "open" and isinstance(arguments[0], str) and not _VARIES.search(arguments[0]):
        opened.append(arguments[0])


def main(result: str, *argv: str) -> int:
    """Run a command line, write its counts, return its exit status."""
    sys.addaudithook(_hear)
    from kscaffold.__main__ import main as kscaffold

    if "--guest" in argv:
        argv = tuple(word for word in argv if word != "--guest")
        _count_guest()
    sys.argv[1:] = argv
    status = kscaffold()
    modules = [name for name in sys.modules if name.split(".")[0] == "kscaffold"]
    counts = {
        "processes": started,
        "files": opened,
        "modules": modules,
        "requests": requests,
        "guests": guests,
    }
    Path(result).write_text(json.dumps(counts))
    return status


def _count_guest() -> None:
    """Have each guest asked, before it ends, for the blocks that QEMU translated of it, and for the pages
    that it has written since its restore. Imports more than the command itself would.
    """
    from kscaffold.sandbox.agent import channel, protocol
    from kscaffold.sandbox.vm import guest, qmp
    from tests.bench.memory import memory_map

    monitors: list[qmp.Monitor] = []
    begin, ask, end = qmp.Monitor.__init__, protocol.request, guest.Guest.close

    def opened_monitor(self: qmp.Monitor, *arguments: Any) -> None:
        begin(self, *arguments)
        monitors.append(self)

    def asked(verb: protocol.Verb, *arguments: Any, **options: Any) -> bytes:
        requests.append(verb.name)
        return ask(verb, *arguments, **options)

    def ended(self: guest.Guest) -> None:
        deadline = time.monotonic() + 10
        monitors[-1]._send({"execute": "x-query-jit"}, deadline)
        text = monitors[-1]._reply(deadline)["human-readable-text"]
        blocks = re.search(r"TB count +(\d+)", text)
        assert blocks
        # Pages that are the guest's own: copied from the snapshot when they were written.
        written = memory_map(Path(f"/proc/{self.qemu.pid}/smaps"), "/ram")["Private_Dirty"]
        guests.append({"blocks": int(blocks[1]), "pages": written // 4096})
        end(self)

    qmp.Monitor.__init__ = opened_monitor  # type: ignore[method-assign]
    qmp.Monitor.close = lambda self: None  # type: ignore[method-assign]
    channel.request = asked  # type: ignore[attr-defined]
    guest.Guest.close = ended  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
