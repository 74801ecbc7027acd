"""The live sandboxes of this user: one for a project, found, started, asked and stopped by commands."""

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kscaffold import timeouts
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths
from kscaffold.sandbox.agent.protocol import MOST_GRACE, Channel, ChannelClosed, ChannelTimeout, Verb
from kscaffold.sandbox.live import daemon
from kscaffold.sandbox.vm.plan import Plan


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A live sandbox as `sandbox status` shows it. `started`: seconds since 1970. `rss`: bytes resident."""

    id: str
    project: Path
    kernel: str
    cmdline: str
    accelerator: str
    keeper: int
    qemu: int
    started: float
    key: str
    rss: int


@dataclass(frozen=True, slots=True)
class Connection:
    """A sandbox that is ours until it is closed. `facts`: the keeper's greeting. `started`: nobody has
    used it before.
    """

    channel: Channel
    facts: dict[str, Any]
    started: bool


def sandbox_id(project: Path) -> str:
    """The sandbox's name: one for each project directory."""
    return hashlib.blake2b(
        os.path.realpath(project).encode(errors="surrogateescape"), digest_size=6
    ).hexdigest()


def sandbox_dir(project: Path) -> Path:
    """The sandbox's directory, alive or not: socket, lock, card, and the log of the last one."""
    return _root() / sandbox_id(project)


def find_sandbox(project: Path) -> SandboxInfo | None:
    """The project's live sandbox. What a dead keeper left is swept."""
    return _card(sandbox_dir(project))


def all_sandboxes() -> list[SandboxInfo]:
    """All live sandboxes of this user."""
    directories = sorted(_root().iterdir()) if _root().is_dir() else []
    return [card for directory in directories if (card := _card(directory))]


@contextlib.contextmanager
def connect(project: Path) -> Iterator[Connection | None]:
    """The project's live sandbox, None when there is none. Raises KscaffoldError KS606 when it is busy."""
    directory = sandbox_dir(project)
    sock = _dial(directory)
    if sock is None:
        yield None
        return
    with contextlib.closing(_channel(sock)) as opened:
        try:
            facts = _welcomed(opened, directory, timeouts.seconds("BUSY_TIMEOUT"))
        except KscaffoldError as error:
            if error.code != "KS607":
                raise
            facts = None  # it ended a moment ago
        yield Connection(opened, facts, False) if facts else None


@contextlib.contextmanager
def connect_or_start(project: Path, planned: Plan, note: Callable[[str], None]) -> Iterator[Connection]:
    """The project's live sandbox, started now when there is none, or it is of another kernel.

    Two commands that find none start one between them: the second waits for the first's.
    """
    directory = sandbox_dir(project)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "starting").open("wb") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        card = _card(directory)
        if card and card.key != planned.key:
            ran = f"{card.kernel} {card.cmdline}".strip()
            # The same words stand for another kernel image: one that trusts other keys.
            same = (card.kernel, card.cmdline) == (planned.kernel.release, planned.machine.cmdline)
            ran = "with other keys or another image" if same else ran
            note(f"the sandbox ran {ran}; a new one takes its place")
            stop_sandbox(project)
            card = None
        sock = _dial(directory) if card else None
        if sock is None:
            _start(directory, planned, project)
            card, sock = None, _dial(directory)
    if sock is None:
        raise KscaffoldError("KS607", "the sandbox ended as soon as it had started")
    with contextlib.closing(_channel(sock)) as opened:
        # Without a QEMU on its card it is still being started, by this command or another.
        booting = card is None or card.qemu == 0
        patience = timeouts.seconds("BOOT_TIMEOUT") * 2 if booting else timeouts.seconds("BUSY_TIMEOUT")
        facts = _welcomed(opened, directory, patience)
        yield Connection(opened, facts, facts["served"] == 0)


def begin_sandbox(project: Path, planned: Plan) -> None:
    """Start the project's sandbox if none is live, and wait for nothing: `connect_or_start` finds it."""
    directory = sandbox_dir(project)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "starting").open("wb") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if _card(directory) is None:
            _start(directory, planned, project)


def stop_sandbox(project: Path) -> bool:
    """End the project's sandbox; False when there was none. Waits until it is gone."""
    directory = sandbox_dir(project)
    card = _card(directory)
    if card is None:
        return False
    try:
        with connect(project) as connection:
            if connection is not None:
                with contextlib.suppress(ChannelClosed, ChannelTimeout):
                    connection.channel.ask(Verb.STOP, timeout=5, grace=0)
    except KscaffoldError:
        _kill(card)  # busy for longer than anybody should wait
    deadline = time.monotonic() + 10
    while _held(directory) and time.monotonic() < deadline:
        time.sleep(0.01)
    if _held(directory):
        _kill(card)
    return True


def end_sandbox(connection: Connection, project: Path) -> None:
    """End the sandbox of a connection. Waits until it is gone, so that the next one can be started."""
    directory = sandbox_dir(project)
    with contextlib.suppress(ChannelClosed, ChannelTimeout):
        connection.channel.ask(Verb.STOP, timeout=5, grace=0)
    connection.channel.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        card = _card(directory)
        if card is None or card.keeper != connection.facts.get("keeper"):
            return
        time.sleep(0.01)


def last_log(project: Path) -> tuple[bytes, str]:
    """The records and the console of the project's sandbox that has ended: its keeper wrote them."""
    parts = []
    for name in ("log", "console"):
        try:
            parts.append((sandbox_dir(project) / name).read_bytes())
        except OSError:
            parts.append(b"")
    return parts[0], parts[1].decode(errors="replace")


def _root() -> Path:
    return paths.runtime() / "sandboxes"


def _start(directory: Path, planned: Plan, project: Path) -> None:
    for left in ("log", "console", "card.json", "keeper.sock"):
        (directory / left).unlink(missing_ok=True)
    with (
        (directory / "lock").open("wb") as lock,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        # Taken before the fork, and inherited: there is no moment at which nobody holds it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        listener.bind(str(directory / "keeper.sock"))
        listener.listen(16)
        daemon.fork_keeper(daemon.SandboxDir(directory, listener, lock.fileno(), project), planned)


def _dial(directory: Path) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(5)
    try:
        sock.connect(str(directory / "keeper.sock"))
    except OSError:
        sock.close()
        return None
    return sock


def _channel(sock: socket.socket) -> Channel:
    """A keeper says what has become of its guest, and knows it best: it is given the time to."""
    return Channel(sock, time.monotonic, MOST_GRACE * 1.5)


def _welcomed(opened: Channel, directory: Path, patience: float) -> dict[str, Any]:
    try:
        answer = opened.welcome(time.monotonic() + patience)
    except ChannelTimeout:
        try:
            owner = f"process {(directory / 'client').read_text()}"
        except OSError:
            owner = "another command"
        raise KscaffoldError(
            "KS606",
            f"the sandbox is busy with {owner}",
            cause=f"waited {patience:g} s for it",
            fix="wait for that command, or kscaffold sandbox stop",
        ) from None
    except ChannelClosed:
        raise KscaffoldError(
            "KS607",
            "the sandbox ended while this command waited for it",
            fix="try again: a new one is started",
        ) from None
    facts = json.loads(answer.payload)
    if answer.status:
        code, what, cause, fix = facts
        raise KscaffoldError(code, what, cause=cause, fix=fix)
    assert isinstance(facts, dict)
    return facts


def _held(directory: Path) -> bool:
    """A live keeper holds the lock of its directory."""
    try:
        with (directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _card(directory: Path) -> SandboxInfo | None:
    try:
        facts = paths.recorded(directory / "card.json")
        if not _held(directory):
            for left in ("card.json", "keeper.sock", "client"):
                (directory / left).unlink(missing_ok=True)
            return None
        return SandboxInfo(
            id=directory.name,
            project=Path(facts["project"]),
            kernel=facts["kernel"],
            cmdline=facts["cmdline"],
            accelerator=facts["accelerator"],
            keeper=facts["keeper"],
            qemu=facts["qemu"],
            started=facts["started"],
            key=facts["key"],
            rss=_rss(facts["qemu"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _rss(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _kill(card: SandboxInfo) -> None:
    """End a keeper that does not listen; its QEMU goes with it. Its lock has just been seen held by it."""
    if card.keeper:
        with contextlib.suppress(OSError):
            os.kill(card.keeper, 9)
